/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * VMs that the killpath program has paused. Whoever manages one does not know, and may let it go on
 * without the versions that were noted then: they are demanded all the same.
 */

#include "driver/sanlock/sanlock.h"
#include "driver/sanlock/state.h"

/*
 * For an acquire by pid that was given no state: *ret_demand is that which was noted when the VM
 * was paused, and nothing where it was not. Clear it with hf_sanlock_state_clear. What was noted
 * and cannot be read is an error: it is not known then who has had the disks since.
 */
int hf_sanlock_paused_demand(const struct hf_sanlock_vm *vm, struct hf_sanlock_state *ret_demand,
                             struct hf_lock_error *err);

/* The VM has its leases again: forgets what was noted, if it was about no others than vm's. */
void hf_sanlock_paused_done(const struct hf_sanlock_vm *vm, const struct hf_sanlock_state *demand);

/*
 * The VM has not got its leases, and some were had and given back on the way: more, their versions
 * now. They are noted in place of the older ones.
 */
void hf_sanlock_paused_failed(const struct hf_sanlock_vm *vm, const struct hf_sanlock_state *demand,
                              const char *more);
