/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Who has a file open: found by reading /proc, so it takes milliseconds, and belongs into a
 * process that may take them. What the caller has no right to see is not found: without
 * privilege these are its user's processes.
 */

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>
#include <sys/types.h>

/* More are not told apart; a caller that throws them out looks again. */
#define HF_OPENERS_MAX 64

struct hf_opener {
        pid_t pid;
        uid_t uid;
        bool flock; /* it has the file locked by flock */
        bool dead;  /* all it has is hung up, and it has not noticed */
        char program[64];
};

struct hf_openers {
        size_t n;
        struct hf_opener list[HF_OPENERS_MAX];
};

/*
 * The processes that have the file of *st open, but this one. A device is its number: for
 * terminals of devpts the file system counts as well, for others not.
 * own: a descriptor of ours of it, or -1. Those who have no other open description of it than that
 * are left out, as are other processes of this program and user.
 * Of a guest's terminal (a pts), who has its other side is left out too: it is whose terminal it
 * is.
 */
void hf_openers_find(const struct stat *st, int own, struct hf_openers *ret);

/* How many of them are not dead. */
size_t hf_openers_alive(const struct hf_openers *openers);

/* Whether it is a terminal of devpts. */
bool hf_openers_is_pts(const struct stat *st);

/* Program and user of pid, as they are now. False: there is none. */
bool hf_openers_describe(pid_t pid, struct hf_opener *ret);
