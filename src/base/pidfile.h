/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * PID files: a lock on byte 0 says that the daemon lives, the content who it
 * is. virtlockd takes a POSIX lock on the same byte, so the two see each other.
 */

#include "base/error.h"

#include <sys/types.h>

/*
 * Creates and locks the file and writes pid. Returns 0 and the descriptor, which
 * holds the lock; -EBUSY with *err when another process has it.
 */
int hf_pidfile_take(const char *path, pid_t pid, int *ret_fd, struct hf_error *err);

/*
 * Another process stands for the daemon now. fd < 0 is ignored. -ESTALE where the number
 * does not lead to the file of that path: it may be a disk's.
 */
int hf_pidfile_rewrite(const char *path, int fd, pid_t pid);

/* Removes the file and gives the lock back. fd < 0 is ignored. */
void hf_pidfile_drop(const char *path, int fd);
