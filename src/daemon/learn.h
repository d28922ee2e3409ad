/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Learning: what a lock protects, where that was not known when it was taken.
 *
 * A disk that is hot-plugged by a hashed name is not yet open in its VM when the
 * lock is asked for, so nothing but the name is known. Later it is: then another
 * name of the same disk is seen as what it is.
 */

#include "daemon/server.h"
#include "daemon/work.h"

/*
 * Looks again for the things that are searched for, as often as the searches may cost,
 * in what the kernel has in memory. Returns a lock, or 0, whose thing is on the filesystem of
 * that device, which has to be asked (HF_WORK_FIND) by who wants something there; such a
 * lock is returned once in a while, and those of other filesystems are left alone.
 */
uint32_t hf_learn_things(struct hf_server *server, uint64_t dev);

/* Fills in the order to find out what such a lock protects. */
void hf_learn_order(struct hf_server *server, uint32_t lock, struct hf_order *ret);

/* What came of it: the lock may be another one by now. */
void hf_learn_found(struct hf_server *server, uint32_t lock, const char *hash,
                    const struct hf_thing *thing);
