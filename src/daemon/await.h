/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Waiting for a lock that somebody has who is not in our table.
 */

#include "storage/resource.h"

struct hf_await;
struct hf_server;

/*
 * Waits until path can be locked, and has it locked then. done is called once, from the loop,
 * unless it is freed before: status 0 with the locked descriptor, which is the receiver's, or a
 * negative errno; it is gone then. -ENOMEM and the like.
 */
int hf_await_start(struct hf_server *server, const char *path, bool shared, bool autocreate,
                   void (*done)(void *data, struct hf_resource_result *got), void *data,
                   struct hf_await **ret);

/* Waits no more; what it may have locked is given back. Returns NULL, which it takes as well. */
struct hf_await *hf_await_free(struct hf_await *await);
