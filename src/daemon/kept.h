/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Kept locks: what was never free while no daemon ran.
 *
 * A lock outlives all our processes where somebody else has a duplicate of its
 * descriptor: the service manager, in a parking lot (parking.h), or the VM, to
 * which the daemon gave one with its answer (HF_HOLDFAST_ACQUIRE_DESCRIPTOR).
 * Recovery takes that very descriptor back, so that it is one lock with all its
 * duplicates still, and a release frees them all. That a descriptor has the lock is proved by
 * setting the same lock on it again, which succeeds only where nobody else
 * has it.
 *
 * A VM's duplicate may be refused to us (ptrace(2): a sandbox, or another user's
 * rules). Then an exclusive lock stays with the VM, without a record of ours:
 * nobody else gets it, and it goes with the VM; a shared one is taken a second
 * time beside it.
 */

#include "daemon/server.h"
#include "lockspace/claims.h"
#include "storage/resource.h"

struct hf_kept;

/*
 * Empties the lots that systemd passed into the one in use, and keeps in mind what
 * was there. Where something cannot be had it stays where it is, locked. NULL
 * without memory.
 */
struct hf_kept *hf_kept_new(struct hf_server *server);

/*
 * Finds a claim's own descriptor; owner is in the table. Returns false where there
 * is none: the lock has to be taken anew. With true *ret is the outcome, as of
 * hf_resource_take; -EAGAIN: it is in the table already; -EIO, with the
 * descriptor: it was kept, and is lost.
 */
bool hf_kept_take(struct hf_kept *kept, uint32_t owner, const struct hf_claim *claim,
                  struct hf_resource_result *ret);

/* That one was not entered into the table. */
void hf_kept_untake(struct hf_kept *kept, int fd);

/* The claim's lock is in the table, as `lock`. */
void hf_kept_entered(struct hf_kept *kept, const struct hf_claim *claim, uint32_t lock);

/* The claim's VM has ended; path: of a stand-in that goes with the lock, or NULL. */
void hf_kept_ended(struct hf_kept *kept, const struct hf_claim *claim, const char *path);

/* Gives back what belongs to nobody, and lets the lots go that systemd passed. */
struct hf_kept *hf_kept_free(struct hf_kept *kept);

static inline void hf_kept_freep(struct hf_kept **kept)
{
        *kept = hf_kept_free(*kept);
}

#define hf_cleanup_kept hf_cleanup(hf_kept_freep)
