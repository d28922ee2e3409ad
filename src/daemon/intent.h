/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Intents: what a committed answer has promised.
 *
 * Whoever was told "granted" has the lock, whatever becomes of the server that
 * said so. What an answer says is therefore written beside it before it is
 * committed, and carried out at once after that; a server that is killed in
 * between leaves it to the next one, which carries it out before it serves
 * anybody. Doing so twice is the same as once.
 */

#include <stdint.h>

enum hf_intent_kind {
        HF_INTENT_NONE,
        HF_INTENT_CLAIM_HOLD,      /* index: of a hold that was prepared */
        HF_INTENT_CLAIM_SET,       /* index: of the first of holds that were prepared */
        HF_INTENT_CLAIM_LOCKSPACE, /* index: of a lockspace that was prepared */
        HF_INTENT_RELEASE,         /* index: of a hold; all that its owner has by that name */
        HF_INTENT_RELEASE_SET,     /* index: of an owner; all that it has of that set */
        HF_INTENT_RESTRICT,        /* the connection may ask for nothing more */
        HF_INTENT_RELEASE_ALL,     /* everything that anybody has; index: 1 once that has begun */
        HF_INTENT_KINDS,
};

struct hf_intent {
        uint32_t kind; /* enum hf_intent_kind */
        uint32_t index;
        uint64_t set;
};

struct hf_session;
struct hf_table;

/*
 * Carries out what the session's answer commits to, if anything, and forgets it. What
 * a worker has to do first stays, and the session is HF_SESSION_SETTLING: its answer is
 * sent when that has been done (hf_sessions_settle).
 */
void hf_intent_carry_out(struct hf_session *session);

/*
 * The part of that which makes a prepared record valid, and needs no index of the
 * table: for a successor, before it builds them. Forgets nothing.
 */
void hf_intent_claim(struct hf_table *table, const struct hf_intent *intent);
