/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Listeners: which sockets there are and who may connect.
 *
 * Virtlockd's sockets, where stock clients look, and our own beside them.
 * Sockets that systemd passes are taken as they are. Of our own the others are
 * made; of virtlockd's only where none was passed at all, as systemd then decides
 * which there are. A virtlockd that lives on its path is never displaced.
 */

#include "base/path.h"
#include "daemon/server.h"
#include "daemon/stock-state.h"

/*
 * Makes the sockets that were not passed. with_virtlockd false: only our own. On
 * failure no socket stays.
 */
int hf_listeners_open(struct hf_server *server, const struct hf_paths *paths, bool with_virtlockd,
                      struct hf_error *err);

/*
 * Takes the n sockets that systemd passed over, known by their names
 * ("virtlockd.socket", "virtlockd-admin.socket", "holdfastd.socket",
 * "holdfastd-ro.socket") or by the path they are bound to. Parking lots among them
 * are left to parking.h. Returns how many sockets there were.
 */
int hf_listeners_activated(struct hf_server *server, const struct hf_paths *paths, int n,
                           struct hf_error *err);

/* Whether there is one of virtlockd's, or of our own, among the n descriptors that systemd passed.
 */
bool hf_listeners_are_passed(const struct hf_paths *paths, int n, bool virtlockd);

/*
 * Takes a listening socket over from a virtlockd (takeover.h). And makes our own two beside it;
 * what cannot be made is reported, and done without.
 */
int hf_listeners_take(struct hf_server *server, const struct hf_stock_socket *socket,
                      struct hf_error *err);
void hf_listeners_add_own(struct hf_server *server, const struct hf_paths *paths);

/* Goes on with the sockets of an earlier server. */
int hf_listeners_adopt(struct hf_server *server, struct hf_error *err);

/*
 * Serves a connection that an earlier server had accepted and not recorded, so
 * that nothing was read from it. One that is to none of our sockets is closed.
 */
void hf_listeners_adopt_connection(struct hf_server *server, int fd);

/* Closes all and removes the files of those that were made here. */
void hf_listeners_close(struct hf_server *server);
