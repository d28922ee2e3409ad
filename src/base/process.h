/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Which process: not just which number.
 *
 * The kernel hands a pid out again when its process is gone, so a process is
 * named by its pid and the time it started, which together are unique until
 * the next boot. A pidfd is the way to be told of its end.
 *
 * A process counts as dead when its last thread has ended, also while nobody
 * has waited for it (a zombie can write no more). A process whose first thread
 * alone has ended looks like a zombie in /proc and is alive.
 */

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Room for what the kernel keeps of a process's name, and a NUL. */
#define HF_PROCESS_COMM_MAX 64

struct hf_process {
        pid_t pid;
        uint64_t start;                 /* clock ticks since boot (field 22 of /proc/PID/stat) */
        char comm[HF_PROCESS_COMM_MAX]; /* its name when it was looked at, for people only */
};

/*
 * Reads the start time of the living process pid. -ESRCH if there is none or
 * it is dead; -EACCES if there is one but /proc hides it; otherwise what
 * reading /proc fails with.
 */
int hf_process_start(pid_t pid, uint64_t *ret);

/*
 * Opens a pidfd (close-on-exec) for the living process pid and says who it is:
 * descriptor and identity are of the same process, also if the pid is given
 * away meanwhile. Errors as hf_process_start, and what pidfd_open fails with.
 * ret_pidfd or ret may be NULL.
 */
int hf_process_open(pid_t pid, int *ret_pidfd, struct hf_process *ret, struct hf_error *err);

/* Whether the process has ended, or its first thread has begun to. */
bool hf_process_is_ending(pid_t pid);

/* Returns 1 if the process of this pidfd is dead, 0 if not, or a negative errno. */
int hf_process_pidfd_is_dead(int pidfd);

/*
 * The name that the kernel shows for pid, as it is (a process chooses its
 * name: it may hold any byte but NUL). -ESRCH if there is no such process.
 */
int hf_process_comm(pid_t pid, char *ret, size_t size);
