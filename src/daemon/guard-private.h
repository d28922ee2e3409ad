/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the files of the guard share. */

#include "daemon/area.h"
#include "daemon/guard.h"
#include "daemon/server.h"

/* What is waited for that is due soon is looked at so often. */
#define HF_GUARD_SOON_USEC 100000

struct hf_guard_state {
        sd_event_source *timer;
        bool works;                          /* there are workers */
        bool said_unguarded;                 /* what is not guarded was reported */
        bool trouble;                        /* some VM is, or was, to be dealt with */
        uint64_t stats_at;                   /* when the kernel's statistics were last read */
        bool expired[HF_LEASES_MAX];         /* by record, as they said */
        uint64_t prove_after[HF_LEASES_MAX]; /* by record: when locks are to be looked at again */
        bool said_unproved;                  /* that some of them say nothing was reported */
        uint32_t *lost; /* locks of an earlier daemon's, to be marked when all are entered */
        size_t n_lost;
        uint64_t last_group; /* of VMs that a worker was given */
};

/* The looks are to be soon, or at that time (CLOCK_BOOTTIME microseconds) at the latest. */
void hf_guard_look_at(struct hf_server *server, uint64_t when);

/* guard-locks.c */

/* The next hold by which a lock on that device is reached, each lock once; 0: no more. */
uint32_t hf_guard_next_lock(struct hf_server *server, uint64_t dev, uint32_t after);

/* The next one that is not lost, from the cursor on and around; 0: there is none. */
uint32_t hf_guard_rotate(struct hf_server *server, uint64_t dev, uint32_t *cursor);

/* How many locks there are on that device. */
uint32_t hf_guard_count(struct hf_server *server, uint64_t dev);

/* The lock of a hold. */
uint32_t hf_guard_lock_of(struct hf_server *server, uint32_t hold);

/* A lock is lost: notes and reports it. */
void hf_guard_lose(struct hf_server *server, uint32_t lock);

/*
 * Of a lock that cannot be looked at, with its errno: it stays in doubt, and its VM paused. The
 * first one is reported, which is enough to find out why.
 */
void hf_guard_say_unproved(struct hf_server *server, uint32_t lock, int number);

/* Marks all locks there; returns how many. Done again by a successor where it was cut off. */
unsigned int hf_guard_doubt_all(struct hf_server *server, uint64_t dev);

/* A lock stands: it is nobody's to doubt any more. */
void hf_guard_trust(struct hf_server *server, uint32_t lock);

/* What of an owner's locks is not sound: HF_LOCK_UNSAFE. */
uint32_t hf_guard_unsafe(struct hf_server *server, uint32_t owner);

/*
 * guard-vm.c: deals with all VMs whose locks are not sound, and continues those whose are again.
 * patience: how long a monitor may take to stop its VM. Returns when it is to be called
 * again; 0: nothing is left to be done.
 */
uint64_t hf_guard_act(struct hf_server *server, uint64_t now, uint64_t patience);

/* For people: the name of an owner's VM. */
const char *hf_guard_name(struct hf_server *server, uint32_t owner);

/* Somebody else has paused a VM, who may continue it: when to look at it again. */
uint64_t hf_guard_note_foreign(struct hf_owner *owner, uint64_t now);

/* It was, or is being, told to continue: whether it has stopped is not known any more. */
void hf_guard_not_stopped(struct hf_owner *owner);

/* guard-told.c: what came of workers that were ordered there. */
void hf_guard_told(struct hf_server *server, const struct hf_order *order,
                   const struct hf_result *outcome, bool done);
void hf_guard_signalled(struct hf_server *server, const struct hf_order *order,
                        const struct hf_result *outcome, bool done);
