/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Owners: which process a lock belongs to, and learning of its end.
 *
 * A record lives while the owner holds something or a session is registered for
 * it. Its pidfd is watched from the first to the last moment, so the pid can
 * not be given to another process unnoticed.
 *
 * A *client* owner is one connection, not a process: what it holds goes when the last who
 * has that connection open closes it, and nobody is ended for that. A process may have many of
 * them, and be a VM as well. It is never found by its process (hf_table_find_owner), and no
 * other session is ever bound to it. After an end of all processes of ours nobody has its
 * connection: then it stays, with all it holds, until its process ends or gives back
 * (hf_owner_next_client).
 */

#include "daemon/session.h"

/*
 * Enters an owner into the table and watches its pidfd, which is then the
 * owner's. info->pidfd is filled in here. Negative errno.
 */
int hf_owner_watch(struct hf_server *server, struct hf_owner_info *info, int *pidfd, uint32_t *ret);

/* Watches an owner that is in the table of an earlier server. */
int hf_owner_adopt(struct hf_server *server, uint32_t owner);

/* Counts a session that is bound to the owner; own: it is the owner's own connection. */
void hf_owner_count(struct hf_server *server, uint32_t owner, bool own);

/*
 * The session acts for the process of that pid from now on. If that is its peer,
 * the connection is the owner's own and is bound at once; other owners are
 * looked up when they are needed. Fails (a negative errno with *err) where an
 * own connection cannot be watched; the session then acts for nobody.
 */
int hf_owner_register(struct hf_session *session, pid_t pid, struct hf_error *err);

/*
 * The session stands for itself from now on, by an owner of its own. -ESRCH with *err: its peer has
 * ended, so that nobody could be named as the holder. Once it holds something it stays what it is.
 */
int hf_owner_register_client(struct hf_session *session, struct hf_error *err);

/*
 * All client owners of the process that the session's peer is, one after the other: the first
 * (after 0) or the next one behind `after`; 0: no more. Its own one is among them.
 */
uint32_t hf_owner_next_client(const struct hf_session *session, uint32_t after);

/*
 * Finds or makes the owner that the session is registered for and binds the
 * session to it. -ESRCH with *err when there is no such process.
 */
int hf_owner_bind(struct hf_session *session, struct hf_error *err);

/* The owner whose locks the session may give back, though the process may be gone; or 0. */
uint32_t hf_owner_known(struct hf_session *session);

/* Removes an owner's record if it holds nothing and no session is bound to it. */
void hf_owner_drop_unused(struct hf_server *server, uint32_t owner);
