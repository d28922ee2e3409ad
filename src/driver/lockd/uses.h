/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What an operation is about: its resources, and the names that they are locked by.
 *
 * Adding one only notes it. Naming them is a step of its own, because it may run programs
 * and so needs the operation's deadline; who takes and who gives back makes the same
 * names. Where the VMM locks whole images itself, a lock on the image would keep it from
 * starting: it is then taken on a file in a directory of the daemon's, which this host's
 * VMs alone see.
 */

#include "driver/lockd/lockd.h"

/* The callback. */
int hf_lockd_add_resource(void *vm, const struct hf_lock_resource *resource,
                          struct hf_lock_error *err);

/* Until when names are looked for where the caller has set no deadline. */
uint64_t hf_lockd_naming_deadline(void);

/*
 * Names resource i, if that is not done yet. deadline is in nanoseconds of
 * CLOCK_MONOTONIC. What this machine cannot do though the settings ask for it is
 * HF_ERR_CONFIG_UNSUPPORTED.
 */
int hf_lockd_name(struct hf_lockd_vm *vm, size_t i, uint64_t deadline, struct hf_error *err);

/* Refuses a VM whose disks are not locked though it has to have a lease then. */
int hf_lockd_check_leases(const struct hf_lockd_vm *vm, struct hf_error *err);

/* Refuses a lockspace directory of the settings that is something else. */
int hf_lockd_check_directories(const struct hf_lockd_vm *vm, struct hf_error *err);

/* Tells the user, where that is so, that locks are kept elsewhere than the settings say. */
void hf_lockd_tell_of_lookaside(const struct hf_lockd_vm *vm);

void hf_lockd_resource_clear(struct hf_lockd_resource *resource);
