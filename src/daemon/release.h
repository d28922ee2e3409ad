/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Giving locks back: a name is taken out of what its owner holds, and the lock
 * goes with the last name of the last owner.
 */

#include "daemon/session.h"
#include "daemon/work.h"

/* Gives back what the session's owner holds by that name, when the answer is committed. */
int hf_release(struct hf_session *session, const char *lockspace, const char *name,
               struct hf_error *err);

/*
 * Does so: a hold, and all others that its owner has by that name. May be repeated.
 * Returns whether it is gone; if not, a worker gives its lock back.
 */
bool hf_release_named(struct hf_server *server, uint32_t hold);

/* Gives back a set by its number, when the answer is committed: of the session's owner, or its
 * process's. */
int hf_release_set(struct hf_session *session, uint64_t set, struct hf_error *err);

/* Does so: all that the owner has of it. As hf_release_named. */
bool hf_release_of_set(struct hf_server *server, uint32_t owner, uint64_t set);

/* Gives back what anybody holds. May be repeated. */
void hf_release_everything(struct hf_server *server);

/* Whether a worker gives any lock back, or will. */
bool hf_release_is_under_way(struct hf_server *server);

/*
 * Removes one hold; with the last one the lock goes. Where that may have to wait
 * for a filesystem, a worker does it, and false is returned: until it has done so
 * the hold stays, and its lock, with HF_LOCK_RELEASING, stands against everybody.
 */
bool hf_give(struct hf_server *server, uint32_t hold);

/* Goes on with a lock that an earlier server was giving back when it was killed. */
void hf_give_again(struct hf_server *server, uint32_t lock);

/* A worker has given a lock back, or (closed false) was ended, or closed it elsewhere only. */
void hf_given(struct hf_server *server, const struct hf_order *order, bool closed);

/* Goes on with what could not be begun for want of memory. */
void hf_release_retry(struct hf_server *server);
