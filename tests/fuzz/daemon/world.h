/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A world for a daemon that is fed by a fuzzer: in place of src/storage and of the
 * processes in src/base. Files are numbers that the last character of a path
 * leads to, locks are entries of a table, a process is an eventfd that can be
 * read when it is dead. Signals to it fail, so nobody is killed.
 */

#include <stdbool.h>
#include <stddef.h>

/* Pids from 1; those from here on do not exist. */
#define WORLD_PROCESSES 6

/* Makes a new world, all of whose processes live; and ends it. */
void world_begin(void);
void world_end(void);

/* How many locks the kernel has. */
size_t world_locks(void);

/* Whether the process of a pidfd is dead. */
bool world_is_dead(int pidfd);

void world_end_process(unsigned int pid);

/* The n-th file is replaced by a new one. */
void world_replace_file(unsigned int n);
