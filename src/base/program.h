/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Running another program from inside somebody else's process, and hearing what
 * it says, within a deadline.
 *
 * The process that we are in shall not notice. A watcher, which is its child but
 * sends no signal when it ends and shows in no plain wait(), runs the program as a
 * child of its own and says how that ended. Neither of them has a descriptor of
 * ours, and no handler of ours runs in them. When time is up the watcher is
 * killed, and the kernel then kills the program; one that does not die of that
 * (it waits for a disk) is left to init, and nobody waits for it.
 */

#include "base/error.h"

#include <limits.h>
#include <stddef.h>
#include <stdint.h>

/* More than any program prints of which one line is wanted; what follows is read and dropped. */
#define HF_PROGRAM_TEXT_MAX 4096

struct hf_program_result {
        int status;                     /* that it ended with */
        char text[HF_PROGRAM_TEXT_MAX]; /* its standard output, cut, without anything behind a NUL
                                         */
};

/*
 * Finds a program as execvp would, and then where only an administrator's PATH
 * leads. Returns 0, or -ENOENT.
 */
int hf_program_find(const char *name, char ret[static PATH_MAX]);

/*
 * Runs the program at path (absolute) with argv, closed by NULL, in our environment;
 * standard input and error are /dev/null. deadline is in nanoseconds of CLOCK_MONOTONIC.
 * Returns 0 when it has ended by itself, whatever its status. -ETIMEDOUT; -EIO when a signal
 * ended it; what exec failed with when it cannot be run; or another negative errno.
 */
int hf_program_run(const char *path, const char *const *argv, uint64_t deadline,
                   struct hf_program_result *ret, struct hf_error *err);

/*
 * The same, for a program that says more: all of its output is in *ret, to be freed with free().
 * -E2BIG when that is more than max bytes.
 */
int hf_program_read(const char *path, const char *const *argv, uint64_t deadline, size_t max,
                    char **ret, int *ret_status, struct hf_error *err);
