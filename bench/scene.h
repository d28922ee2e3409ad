/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What a measurement plays with: files to lock, and processes that own locks.
 *
 * Owners are real processes, because a lock daemon may refuse an owner that
 * does not exist; and they are other processes than the load generator,
 * because a daemon kills the owner whose own connection closes with locks held.
 * Every process made here dies with the load generator (parent death signal),
 * so that a failed run leaves none behind.
 */

#include "wire.h"

#include <stddef.h>
#include <sys/types.h>

/* `count` files below one folder with the calls that lock and unlock each. */
struct disks {
        size_t count;
        char **path;
        struct call **acquire;
        struct call **release;
};

/* Creates the files that are not there yet; all names are equally long. */
void disks_prepare(struct disks *disks, const char *folder, size_t count);
void disks_clear(struct disks *disks);

/* A child that sleeps until it is ended. */
pid_t owner_start(void);

/* Kills the child and reaps it. */
void owner_end(pid_t owner);

/* fork() whose child dies with its parent. Returns as fork does, but never fails. */
pid_t fork_bound(void);

/* A connection registered for this owner. */
int connect_for(const char *socket, pid_t owner);

/* Kills the process that serves, the one child of a daemon's supervisor. Returns when. */
uint64_t kill_server(pid_t supervisor);
