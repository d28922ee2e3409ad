/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Parking: the descriptor of each lock in the service manager's keeping.
 *
 * Under systemd a duplicate of each lock's descriptor is in a parking lot
 * (keeper/lot.h), whose receiving end lies in the fd store of our unit. When all
 * processes of ours are killed at once, the locks stay; the next daemon is given
 * the lot and has them back (kept.h). This is done from the start and lock by
 * lock, as nobody is told of his SIGKILL.
 *
 * A lock that is released is unlocked, but its parked duplicate keeps the file
 * open, and a file system or volume busy with it. So the lot is renewed soon
 * after: another one is stored, all locks are parked there, a few at a time, and
 * then the first one is removed. There is no moment without one.
 *
 * Without a service manager (NOTIFY_SOCKET) nothing of this happens. Where it
 * keeps no descriptors for us, that is said once, and nothing more of it happens.
 */

#include "daemon/server.h"

/* What systemd has passed: takes it if its name is that of a lot. */
bool hf_parking_pass(struct hf_server *server, int fd, const char *name);

/* Makes and stores a lot, for the first server; before recovery. */
void hf_parking_begin(struct hf_server *server);

/* Goes on with the lots of an earlier server, which may have parked less than it held. */
void hf_parking_adopt(struct hf_server *server);

/* Parks the lock of a hold, unless it is parked already. */
void hf_parking_park(struct hf_server *server, uint32_t hold);

/* Parks every lock, at once; then the lots that systemd had passed may go. */
void hf_parking_park_all(struct hf_server *server);

/* A lock has been given back; its record is still there. */
void hf_parking_released(struct hf_server *server, const struct hf_lock *lock);

/* At the end, with nothing held: removes the lots. */
void hf_parking_leave(struct hf_server *server);

/* The lot in use, to park in (-1: none), and its number (0: none). */
int hf_parking_fd(const struct hf_server *server);
uint32_t hf_parking_number(const struct hf_server *server);

/* Removes a lot that was passed from the fd store, and closes it. */
void hf_parking_drop_passed(struct hf_server *server, struct hf_passed_lot *lot);
