/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Awaiting: a lock that somebody has who is not in our table, another program or another host.
 *
 * The only one who tells of its release is the kernel, to a process that is asleep in a request for
 * the lock. So each resource that is waited for has a helper, a worker of a pool of its own
 * (work.h), which waits for as long as it takes and holds up nothing else on that filesystem.
 * Who is to be first among several waiters here is their matter: one helper is enough for all.
 *
 * Where there are more of them than helpers, or no process can be made, another look is taken
 * after a pause, until there is a helper.
 *
 * A helper that has the lock sends it and ends. One that nobody wants any more is killed, and what
 * it may have locked at that moment is given back. A server that is killed leaves its helpers to
 * the next one: who wants the same there again gets that helper, which has kept its place among
 * those that wait in the kernel; the others are ended after a while. The death of the supervisor is
 * the end of them all.
 */

#include "daemon/work.h"
#include "storage/resource.h"

struct hf_await;
struct hf_set;

/*
 * The order of kind HF_WORK_AWAIT for a member of a set: path, shared, autocreate, and the record
 * of who has the lock then. -ENOENT, -ENOMEM, -ENAMETOOLONG.
 */
int hf_await_order(const struct hf_set *set, size_t member, struct hf_order *ret);

/*
 * Waits until the order's path can be locked, and has it locked then. Unless the await is freed
 * before, done is called once, from the loop: with status 0 the descriptor and the lock are the
 * receiver's, who has to judge what was found, as time has passed; or a negative errno,
 * as of hf_resource_take, but never -EAGAIN. The await stays the caller's, also in done.
 * -ENOMEM.
 */
int hf_await_start(struct hf_server *server, const struct hf_order *order,
                   void (*done)(void *data, struct hf_resource_result *got), void *data,
                   struct hf_await **ret);

/* Nobody waits for it any more. Returns NULL, which it takes as well. */
struct hf_await *hf_await_free(struct hf_await *await);

/* Goes on with the helpers of an earlier server, after hf_work_adopt. */
void hf_await_adopt(struct hf_server *server);

/* A helper has ended; an outcome with a negative status and words: it was killed. */
void hf_await_ended(struct hf_server *server, uint64_t number, const struct hf_order *order,
                    const struct hf_result *outcome);
