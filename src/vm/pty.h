/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The terminals that a process has made: of those whose master it has open, the kernel tells the
 * number (fdinfo, "tty-index"). For VMMs that cannot be asked.
 */

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* More than any machine has serial lines. */
#define HF_PTYS_MAX 64

/* "/dev/pts/" and a number. */
#define HF_PTY_PATH_MAX 24

struct hf_ptys {
        size_t n;
        char paths[HF_PTYS_MAX][HF_PTY_PATH_MAX];
};

/*
 * The terminals of the process, in the order of its descriptors, none twice. Those that are not the
 * same ones here (a container with its own devpts) are left out. Returns 0, also where there are
 * none, or what reading its descriptors failed with: -ENOENT when it is gone, -EACCES when it is
 * another's.
 */
int hf_ptys_of(pid_t pid, struct hf_ptys *ret);

/*
 * Whether the terminal that the process calls so is the one that we call so: its /dev/pts may be
 * another than ours. Where that may not be looked at it is taken for granted.
 */
bool hf_pty_is_here(pid_t pid, const char *path);
