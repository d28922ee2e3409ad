/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Waiting in line, as a person sees it: the option, and who is waited for.
 *
 * On a terminal that is one line, which is written anew when something changes and
 * is gone when the wait is over; elsewhere a line when the wait begins, and one for each
 * holder that comes after.
 */

#include "base/options.h"

#include <holdfast/holdfast.h>

/* Longest wait in seconds: what fits the library's milliseconds. */
#define HF_WAIT_MAX 2000000

/*
 * Reads the argument of --wait: seconds, also with a fraction; NULL: for ever. *ret_ms is as in
 * struct holdfast_vm_params.
 */
int hf_wait_read(const char *argument, int *ret_ms, struct hf_error *err);

/* The row of an option table whose option_call does that. */
#define HF_WAIT_OPTION(option_call)                                                                \
        {                                                                                          \
                .short_name = 'w', .long_name = "wait", .argument = "SECONDS", .optional = true,   \
                .help = "wait in line for what others hold, at most so long (default: for ever)",  \
                .kind = HF_OPTION_CALL, .call = (option_call)                                      \
        }

/* A resource and who has it, in words. */
#define HF_WAIT_TEXT_MAX 1800

struct hf_wait {
        uint64_t begun;              /* CLOCK_MONOTONIC milliseconds; 0: it did not wait */
        bool shown;                  /* a line of ours is on the terminal */
        char last[HF_WAIT_TEXT_MAX]; /* what was told of */
};

/* For struct holdfast_vm_params: ctx is a zeroed struct hf_wait. */
void hf_wait_tell(void *ctx, const struct holdfast_waiting *waiting);

/* The wait is over: leaves the terminal as it was. Returns how many seconds it was; 0: none. */
double hf_wait_end(struct hf_wait *wait);

/* "1st", "2nd", "11th". Returns text. */
#define HF_ORDINAL_MAX 16
char *hf_wait_ordinal(unsigned int n, char text[static HF_ORDINAL_MAX]);
