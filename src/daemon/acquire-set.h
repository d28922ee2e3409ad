/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Taking a set of locks: all of it, or nothing.
 *
 * A *try* takes its members one after the other, by the steps of any acquire (acquire.h), in
 * the order of their names, which is the same for everybody. What it has entered claims nothing.
 * When all are there, one answer commits to all of them, and they are claimed together. When one is
 * not to be had, all that the try has is given back, and only then its client is refused, or
 * waits (wait.h) for the next try: who waits holds nothing.
 *
 * Who holds something already may not wait, so nobody waits in a circle. A member that its owner
 * had before, by the same name, is left as it is, and does not belong to the set; one that is named
 * twice is taken once.
 *
 * What is held by somebody who is not in our table is waited for by a helper (await.h), which
 * comes back with that lock; the next try begins with it in hand.
 *
 * Any step of a try may take its time, and others are served meanwhile. What may have changed by
 * then (an owner that ended, a release of everything) is looked at again before the answer.
 */

#include "daemon/session.h"
#include "rpc/holdfast.h"

struct hf_acquired;
struct hf_set;

/* How it ended. What it refers to is there until `done` returns. */
struct hf_set_acquired {
        int status; /* 0, -EBUSY: refused, or another negative errno */
        bool had;   /* with 0: its owner had all of it before */
        uint64_t number;
        uint64_t waited;                   /* microseconds */
        unsigned int guarantee;            /* with 0: that of the weakest lock */
        size_t refused;                    /* with -EBUSY: the member that stands in the way */
        uint32_t hold;                     /* and what stands against it, if it is in the table */
        const struct hf_record *elsewhere; /* or what a record says */
        struct hf_error error;
};

typedef void (*hf_set_done)(struct hf_session *session, const struct hf_set_acquired *acquired);

/*
 * Acquires for the session's owner. The arguments, and what they have allocated, are the set's,
 * unless it fails. done is called once with the outcome, before or after this returns, unless the
 * session ends first; it has to answer. Returns enum hf_outcome (HF_ANSWERED or HF_PENDING), or a
 * negative errno with *err and without a call of done.
 */
int hf_acquire_set(struct hf_session *session, const struct hf_holdfast_acquire_set_args *args,
                   hf_set_done done, struct hf_error *err);

/* A step of a member's acquire has ended; what was locked for nothing has been given back. */
void hf_set_member_ended(struct hf_set *set, const struct hf_acquired *acquired);
void hf_set_member_tidied(struct hf_set *set);
