/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the files about waiting share. */

#include "daemon/set-private.h"
#include "daemon/wait.h"
#include "lockspace/bits.h"

struct hf_waits {
        struct hf_server *server;
        struct hf_queue *queue;
        struct hf_set *woken;      /* by rising tickets */
        struct hf_set *woken_last; /* who was put there last, as long as it is there; or NULL */
        struct hf_set *giving;     /* those that wait for what they give back, in no order */
        struct hf_set *next_turn;  /* whose try goes on in the loop's next turn, in no order */
        sd_event_source *post;     /* serves who was woken by any other source */
        sd_event_source *soon;     /* runs while there are sets for the next turn */
        sd_event_source *timer;    /* the next time at which somebody is to be looked at: */
        uint64_t armed;            /* CLOCK_BOOTTIME; 0: none */
        unsigned int tellers;      /* sets that wait and whose clients want to know why */
        uint64_t tell_at; /* CLOCK_BOOTTIME, when they are told what has changed; 0: nothing */
        bool looking;
        bool passed_on; /* a helper is nobody's any more: another one may be needed */
        uint32_t by_owner[HF_TABLE_OWNERS_MAX];              /* how many sets wait */
        uint64_t watched[HF_BITS_WORDS(HF_TABLE_LOCKS_MAX)]; /* locks that are in somebody's way */
};

/* wait.c */

/* As hf_waits_next, for those who may change a set. */
struct hf_set *hf_waits_next_of(struct hf_waits *waits, const struct hf_set *after);

/* Has the loop come back at a time, CLOCK_BOOTTIME; an earlier one stands; 0: none. */
void hf_waits_come_back(struct hf_waits *waits, uint64_t when);

/* Is looked after whatever the loop does, as long as there is anybody. */
void hf_waits_watch_loop(struct hf_waits *waits);

/* It is in no list any more. */
void hf_waits_unlink(struct hf_set *set);

/* wait-queue.c */

/*
 * What is behind names of which the client did not say so, as far as that is in memory: who comes
 * later and means the same by another name is to stand behind it.
 */
void hf_waits_learn_things(struct hf_set *set);

/* wait-tell.c: to those whose clients want to know why they wait. */

/* Something has changed for those who wait: they are told soon. */
void hf_waits_say_changes(struct hf_waits *waits);

/* Tells one, if that is news and the last time is not too near. */
void hf_waits_tell(struct hf_set *set, uint64_t now);

/* All whose time has come. */
void hf_waits_tell_all(struct hf_waits *waits, uint64_t now);
