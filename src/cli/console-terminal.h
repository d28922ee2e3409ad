/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The terminal that we sit at. While it is the guest's it is raw, so that every key reaches it, and
 * it is as it was before whenever we stop or end.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <termios.h>

struct hf_terminal {
        bool present; /* standard input is one */
        bool raw;
        struct termios before;
};

/* Looks at standard input; nothing is changed. */
void hf_terminal_init(struct hf_terminal *terminal);

/* Makes it raw. 0, also where there is none, or a negative errno. */
int hf_terminal_enter(struct hf_terminal *terminal);

/* Makes it as it was. Fine at any time. */
void hf_terminal_leave(struct hf_terminal *terminal);

#define hf_cleanup_terminal hf_cleanup(hf_terminal_leave)

/* Its size; false, and zeros: it has none. */
bool hf_terminal_size(unsigned int *ret_rows, unsigned int *ret_columns);

/*
 * A descriptor for standard output that can be written without waiting where that is a terminal or
 * a pipe, and other programs have it as before; otherwise a plain duplicate. -1: there is none.
 */
int hf_terminal_open_output(void);

/*
 * Says something between what the guest prints: one line "[holdfast: ...]" on stderr. fresh: the
 * cursor is at the begin of a line.
 */
void hf_terminal_say(const struct hf_terminal *terminal, bool fresh, const char *format, ...)
        __attribute__((format(printf, 3, 4)));
