/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Taking the leases of an operation, all or none.
 *
 * They are taken one by one, as the daemon itself does with those of one call: so it shows which of
 * them is refused, none is taken twice, by which its version would become another, and what can
 * be mended is: a lease file is made, the lockspace joined, a lease of the VM's own converted.
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
        bool own;                              /* on the session, and not by vm->who.pid */
        const struct hf_sanlock_state *demand; /* versions, or NULL */
        struct hf_lock_holder *holder;         /* or NULL */
        enum hf_sanlock_taken *taken;          /* one for each lease */
        bool joined;                           /* that was tried */
        bool gone;                             /* the last refusal was for one who is no more */
        char *state; /* of what a call had taken that failed and was given versions; or NULL */
};

/* take->taken is allocated here, and freed with hf_sanlock_take_done. */
int hf_sanlock_take_all(struct hf_sanlock_take *take, struct hf_lock_error *err);

/*
 * Before that, where versions are demanded: refuses what is in the way of any of them, without
 * touching one.
 */
int hf_sanlock_take_look(struct hf_sanlock_take *take, struct hf_lock_error *err);

/* The item whose version is demanded of the lease, or NULL. */
const struct sanlk_resource *hf_sanlock_take_demanded(const struct hf_sanlock_take *take,
                                                      const struct hf_sanlock_lease *lease);

/* Gives back what it has taken. */
void hf_sanlock_take_undo(struct hf_sanlock_take *take);
void hf_sanlock_take_done(struct hf_sanlock_take *take);

/*
 * What lease was refused with: words, and the holder as far as it is known. Returns a negative
 * errno.
 */
int hf_sanlock_refuse(struct hf_sanlock_take *take, const struct hf_sanlock_lease *lease, int rv,
                      struct hf_lock_error *err);
