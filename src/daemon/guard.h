/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The guard of leases: locks on NFSv4 that may be lost, and what becomes of their VMs.
 *
 * A server frees all locks of a client that it has not heard of for a lease, when somebody
 * else wants one of them. So for each such filesystem with locks on it a worker asks the
 * server a question every fifth of a lease; lease-clock.h says until when an answer is good.
 *
 *   sound     the last answer is good.
 *   doubted   it was not, some time ago. Each VM with locks there is dealt with: warned of,
 *             paused or killed, as it wanted (guard-vm.c), before anybody else can have the
 *             locks. With the next answer each of the locks is looked at:
 *   lost      the server does not know it any more. That is for ever: nobody takes it
 *             anew, as somebody else may have had it and left.
 *
 * A VM of which all locks are sound again is continued, if it was paused by us. In sound
 * times a few locks are looked at after each answer, since a server can be made to forget them
 * without a silence.
 *
 * A successor of a killed server knows all of this from the area and the table. What is
 * asked of servers and of VMs is done by workers.
 */

#include "daemon/work.h"
#include "lockspace/table.h"

/* What is known of a lock's lease, as it is on the wire. */
enum hf_guard_lease {
        HF_GUARD_LEASE_NONE, /* the lock has none, or nobody guards it */
        HF_GUARD_LEASE_SOUND,
        HF_GUARD_LEASE_DOUBTED,
        HF_GUARD_LEASE_LOST,
};

/* Makes the guard's part of a server; without a keeper nothing is guarded. */
int hf_guard_new(struct hf_server *server, const struct hf_keeper *keeper);
void hf_guard_free(struct hf_server *server);

/* Goes on with what an earlier server guarded, once all of the rest is adopted. */
void hf_guard_adopt(struct hf_server *server);

/* A lock was entered into the table; begun: when its file was begun to be opened. */
void hf_guard_taken(struct hf_server *server, const struct hf_thing *file, uint64_t begun);

/* A hold is about to be given back: what becomes of its VM is not to be judged without it. */
void hf_guard_leaves(struct hf_server *server, uint32_t hold);

/* What is known of a lock's lease. */
enum hf_guard_lease hf_guard_lease(struct hf_server *server, const struct hf_lock *lock);

/* What a claim says of its VM, and what was done to that, is noted for the owner. */
struct hf_claim;
void hf_guard_recover(struct hf_server *server, uint32_t owner, const struct hf_claim *claim);

/*
 * A lock that was entered again is a lost one. That counts when hf_guard_adopt is called: until
 * then others of its holders can have it again, which are no better off.
 */
void hf_guard_recover_lost(struct hf_server *server, uint32_t lock);

/*
 * Its lock could not be had again. A VM that has not all of its locks is not continued by us; those
 * that it lost may not be in the table, so it is said of the VM.
 */
void hf_guard_recover_not(struct hf_server *server, const struct hf_claim *claim);

/* A worker has ended; done: by itself, else it was killed. */
void hf_guard_ended(struct hf_server *server, const struct hf_order *order,
                    const struct hf_result *outcome, bool done);
