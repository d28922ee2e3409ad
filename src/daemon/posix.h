/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Locks that are kept as the virtlockd before us had them: POSIX locks (storage/posix-lock.h).
 *
 * What was exclusive stays a POSIX lock until it is released, as to make another one of it would
 * let others share the disk for a moment. Such a lock is our descriptor table's, so:
 *
 *   - no process with this table closes a descriptor of its file: its files are not opened here
 *     (workers have tables of their own), and what was opened all the same stays open;
 *   - this table is executed with by a process that is alone with it, or not at all;
 *   - it cannot be parked: it is made an OFD lock when the daemon ends under a service manager.
 *
 * In the lock table it has HF_LOCK_POSIX. When all processes of ours are killed at once it is
 * taken again like any other lock, as an OFD lock.
 */

#include "daemon/server.h"
#include "storage/resource.h"

/* Whether a file has such a lock. */
bool hf_posix_keeps(struct hf_server *server, const struct hf_thing *file);

/* The same for what a path leads to; then *ret is what an attempt to lock it would have said. */
bool hf_posix_keeps_path(struct hf_server *server, const char *path,
                         struct hf_resource_result *ret);

/* hf_resource_take_cached, without opening the file of such a lock. */
bool hf_take_cached(struct hf_server *server, const struct hf_resource_request *request,
                    struct hf_resource_result *ret);

/*
 * Before this process, or its supervisor, executes a program: waits a moment for workers that have
 * this table still. -EBUSY: one does, and there are such locks, which would stay with it.
 */
int hf_posix_get_alone(struct hf_server *server);

/*
 * In a server that goes on where another one was: finds out whether there are any, before the first
 * descriptor is closed; and looks whether all are there.
 */
void hf_posix_find(struct hf_server *server);
void hf_posix_look(struct hf_server *server);

/*
 * Makes OFD locks of all of them and parks these, at the end of a daemon whose locks are parked.
 * A disk that somebody else shares in that moment is reported.
 */
void hf_posix_park_all(struct hf_server *server);
