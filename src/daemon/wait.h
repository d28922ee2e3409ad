/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Waiting: who waits for a set of locks, in which order, and until when.
 *
 * The order is the queue's (lockspace/queue.h), by tickets: numbers that rise in the order of
 * asking. A ticket lies in its session's record, with the time until which it waits, so a
 * server that follows a killed one finds everybody's place, and serves them before anybody else.
 *
 * Nobody polls. Who is at the front of all its lines is *woken*, and tries again, when the lock
 * that was in its way goes, when those before it have gone, when a helper has what it waits for
 * (await.h), or when its time is over. That is in the same turn of the loop: before the next
 * request of anybody is looked at.
 */

#include "daemon/server.h"

struct hf_set;

int hf_waits_new(struct hf_server *server);
void hf_waits_free(struct hf_server *server);

/* A lock of the table has gone, or one of its names, or it may be had by others now. */
void hf_waits_freed(struct hf_server *server, uint32_t lock);

/* An owner has a lock now: what it waits for on other connections it may not wait for any more. */
void hf_waits_owner_holds(struct hf_server *server, uint32_t owner);

/* An owner has ended, or is being ended. */
void hf_waits_owner_ended(struct hf_server *server, uint32_t owner);

/* Serves those who are woken, as far as they are to be answered at once. No session ends. */
void hf_waits_look(struct hf_server *server);

/* The same, and sends the answers: sessions may end. */
void hf_waits_serve(struct hf_server *server);

/* Those who wait, by rising tickets: the first (after NULL), or the next one; or NULL. */
const struct hf_set *hf_waits_next(const struct hf_server *server, const struct hf_set *after);
