/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Duplicates: a lock that a process carries, as a descriptor that somebody gave
 * it. The lock is the same one in all duplicates of a descriptor, whoever has
 * them, and goes with an unlock by any or with the last.
 */

#include "base/thing.h"

#include <stdbool.h>
#include <sys/types.h>

/*
 * Fetches the descriptor by which a process holds our byte of a thing, in the
 * mode that is asked for. Close-on-exec, the caller's to close. -ENOENT: it has none; -EPERM and
 * the like: it has one, and may not be asked for it (ptrace(2), pidfd_getfd(2)).
 * *lost: where it is known to be lost, its lock is not looked at; and set where it is found to be,
 * as its file server has given it up. NULL: a lost one is none.
 */
int hf_duplicate_fetch(pid_t pid, int pidfd, const struct hf_thing *thing, bool shared, bool *lost,
                       int *ret_fd);
