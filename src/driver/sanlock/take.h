/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Taking the leases of an operation, all or none.
 *
 * They are asked for in calls of as many as the library takes. Where such a call is refused, its
 * leases are taken one by one, so that it shows which of them it was, and what can be mended is: a
 * lease file is made, the lockspace joined, a lease of the VM's own converted.
 */

#include "driver/sanlock/session.h"
#include "driver/sanlock/state.h"

enum hf_sanlock_taken {
        HF_SANLOCK_NOT_TAKEN = 0,
        HF_SANLOCK_TAKEN,
        HF_SANLOCK_CONVERTED, /* from the other mode */
        HF_SANLOCK_HAD,       /* the VM had it before */
};

struct hf_sanlock_take {
        const struct hf_sanlock_vm *vm;
        struct hf_sanlock_session *session;
        bool own;                              /* on the session, and not by vm->pid */
        const struct hf_sanlock_state *demand; /* versions, or NULL */
        struct hf_lock_holder *holder;         /* or NULL */
        enum hf_sanlock_taken *taken;          /* one for each lease */
        bool joined;                           /* that was tried */
};

/* take->taken is allocated here, and freed with hf_sanlock_take_done. */
int hf_sanlock_take_all(struct hf_sanlock_take *take, struct hf_lock_error *err);

/* Gives back what it has taken. */
void hf_sanlock_take_undo(struct hf_sanlock_take *take);
void hf_sanlock_take_done(struct hf_sanlock_take *take);

/*
 * What lease was refused with: words, and the holder as far as it is known. Returns a negative
 * errno.
 */
int hf_sanlock_refuse(const struct hf_sanlock_take *take, const struct hf_sanlock_lease *lease,
                      int rv, struct hf_lock_error *err);
