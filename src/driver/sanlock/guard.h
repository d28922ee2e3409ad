/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What becomes of a VM whose leases are lost, set up as it starts. */

#include "driver/sanlock/note.h"
#include "driver/sanlock/session.h"

struct hf_sanlock_guard {
        struct hf_sanlock_note note;
        bool written;
};

/*
 * Writes the note of this process, which is to be the VM's. action: enum hf_lock_action;
 * -EOPNOTSUPP with words for one that sanlock has not. A client has no note, and no action.
 */
int hf_sanlock_guard_prepare(struct hf_sanlock_guard *guard, const struct hf_sanlock_vm *vm,
                             unsigned int action, struct hf_lock_error *err);

/* Tells sanlock of the action, before there is anything to lose. */
int hf_sanlock_guard_arm(struct hf_sanlock_guard *guard, struct hf_sanlock_session *session,
                         struct hf_lock_error *err);

/* The VM starts: the note stays. */
void hf_sanlock_guard_keep(struct hf_sanlock_guard *guard);

/* Without that, the note is removed. */
void hf_sanlock_guard_done(struct hf_sanlock_guard *guard);

#define hf_cleanup_guard hf_cleanup(hf_sanlock_guard_done)
