/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Waiting: all resources of an operation as one set, which the daemon grants as a whole when
 * the turn of all of it has come.
 *
 * The set is what waits; it says neither what each lock is worth, nor has it descriptors
 * for the VM. So each resource is taken behind it as always, which finds that the VM has it.
 */

#include "driver/lockd/lockd.h"
#include "rpc/holdfast.h"

/* A set that was granted and is to be given back if the rest of the acquire fails. */
struct hf_lockd_set {
        uint64_t token;
        bool granted;
        bool unknown; /* the daemon cannot let anybody wait */
};

/*
 * Waits for all resources of vm, as *acquire says. -EBUSY when time is up, with *holder (may be
 * NULL). The time that this took is added to the connection's deadline. Returns 0 with ret->unknown
 * where the daemon cannot do that, and nothing is held.
 */
int hf_lockd_set_wait(struct hf_lockd_connection *connection, const struct hf_lockd_vm *vm,
                      const struct hf_lock_acquire *acquire, struct hf_lock_holder *holder,
                      struct hf_lockd_set *ret, struct hf_error *err);

/* Gives it back, within the caller's timeout_ms. */
void hf_lockd_set_release(struct hf_lockd_connection *connection, const struct hf_lockd_set *set);

/* What a failure says whose reason is that the daemon lets nobody wait: -EOPNOTSUPP. */
int hf_lockd_set_refuse(const struct hf_lockd_connection *connection, struct hf_error *err);

/* One resource, as the daemon is asked for it. Its strings belong to the resource. */
struct hf_holdfast_acquire_args hf_lockd_want(const struct hf_lockd_resource *resource);

/* Puts in front of an error what could not be locked. */
void hf_lockd_prefix(const struct hf_lockd_resource *resource, struct hf_error *err);

/* Who is in the way of resource: here, or elsewhere; both may be NULL. */
void hf_lockd_fill_holder(const struct hf_lockd_connection *connection,
                          const struct hf_lockd_resource *resource,
                          const struct hf_holdfast_lock *here,
                          const struct hf_holdfast_record *elsewhere, struct hf_lock_holder *ret);
