/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What the guest prints, on its way to standard output: times in front of lines and the filter, if
 * they are wanted, and what does not fit in yet.
 */

#include "cli/escape-filter.h"

#include <holdfast/console.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hf_console_output {
        int fd;
        bool timestamps, plain;
        struct hf_escape_filter filter; /* plain */
        bool fresh;                     /* the next byte begins a line */
        uint64_t position;              /* of the next byte */
        char *buffer;
        size_t have, room;
};

/* fd is the caller's. plain: without what harms a terminal. */
void hf_console_output_init(struct hf_console_output *output, int fd, bool timestamps, bool plain);
void hf_console_output_clear(struct hf_console_output *output);

/* "2026-01-31 10:04:05.123 ", in local time, of microseconds since the epoch; "" if it has none. */
#define HF_CONSOLE_STAMP_MAX 40
void hf_console_stamp(uint64_t when, char ret[HF_CONSOLE_STAMP_MAX]);

/* Whether that terminal, or whoever reads a file, takes UTF-8, as the environment says. */
bool hf_console_speaks_utf8(int fd);

/*
 * Adds what came from the console, which knows when its replay was printed; the rest is printed
 * now. 0 or -ENOMEM.
 */
int hf_console_output_add(struct hf_console_output *output, const struct holdfast_console *console,
                          const char *data, size_t n);

/*
 * Writes what can be written. Returns how much is left, or a negative errno; -EPIPE: nobody reads.
 */
ssize_t hf_console_output_flush(struct hf_console_output *output);
