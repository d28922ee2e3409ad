/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Listeners: the two sockets, who may connect, and how many.
 *
 * Sockets that systemd passes are taken as they are; those that were not are made.
 */

#include "base/path.h"
#include "console/server.h"

/* Makes what was not passed. On failure no socket stays. */
int hf_con_listeners_open(struct hf_con_server *server, const struct hf_paths *paths,
                          struct hf_error *err);

/* Takes the n that systemd passed. */
int hf_con_listeners_activated(struct hf_con_server *server, const struct hf_paths *paths, int n,
                               struct hf_error *err);

/* Goes on with those of an earlier server. */
int hf_con_listeners_adopt(struct hf_con_server *server, struct hf_error *err);

/* Serves a connection that an earlier server had accepted and not recorded; others are closed. */
void hf_con_listeners_adopt_connection(struct hf_con_server *server, int fd);

/* Closes all and removes the files of those that were made here. */
void hf_con_listeners_close(struct hf_con_server *server);
