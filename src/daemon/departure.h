/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Departure: who left, and what happens to what it held.
 *
 *   the own connection closed, the owner lives and holds what it has not released
 *       -> it is ended first (SIGTERM, later SIGKILL); its locks are freed when
 *          it is dead. One that will not die keeps them and is reported.
 *   a client owner's connection closed
 *       -> its locks are given back, the first of them at once; nobody is ended.
 *   the owner ended, another process has its connection open
 *       -> nothing is freed: the VM lives on in that process (CARRIED).
 *   the owner ended and no connection of its own is open (or never was)
 *       -> its locks are given back, a few at a time, so that others are served
 *          in between.
 *
 * Any other connection that closes changes nothing. Waiting is done by pidfd
 * and timers only.
 */

#include "daemon/server.h"

/*
 * A session that is bound to the owner is about to be closed, because its client
 * has closed it; own: it is the owner's own connection. May be told twice.
 */
void hf_departure_session_leaves(struct hf_server *server, uint32_t owner, bool own);

/*
 * A session that was bound to the owner is bound to it no more: it acts for another
 * one from now on, or is about to be closed. Nobody is ended for that.
 */
void hf_departure_session_changed(struct hf_server *server, uint32_t owner, bool own);

/* The owner's process is dead. */
void hf_departure_owner_ended(struct hf_server *server, uint32_t owner);

/* Goes on with what an earlier server had begun against an owner. */
void hf_departure_adopt(struct hf_server *server, uint32_t owner);

/* The handler of the server's departures: gives some locks of ended owners back. */
int hf_departures_serve(sd_event_source *source, int fd, uint32_t revents, void *data);
