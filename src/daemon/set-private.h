/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the files about sets share: acquire-set.c, their begin and end, set-try.c and set-look.c,
 * their tries, and wait.c, the time in between. */

#include "daemon/acquire-private.h"
#include "daemon/acquire-set.h"
#include "lockspace/queue.h"

struct hf_await;

enum hf_set_state {
        HF_SET_TRYING,
        HF_SET_GIVING,  /* back what the last try had */
        HF_SET_WAITING, /* holds nothing, and is in the queue */
};

struct hf_set {
        struct hf_server *server;
        struct hf_session *session;
        struct hf_holdfast_acquire_set_args args;
        hf_set_done done;
        enum hf_set_state state;
        uint32_t owner;  /* that is counted to wait */
        uint64_t number; /* its ticket, and the token by which it is released */
        uint64_t begun;  /* CLOCK_BOOTTIME microseconds */
        uint64_t until;  /* the same; 0: for ever */
        bool resumed;    /* it waited for an earlier server */
        bool in_call;    /* it was asked for just now: whoever called it answers */
        bool answered;

        /* The try. */
        uint32_t *order; /* of the members, in which they are tried */
        size_t at;       /* those before it are there: */
        struct hf_set_part {
                uint32_t hold;  /* made by this try, or what its owner had before */
                uint32_t check; /* of the latter; 0: it is of this try */
        } * parts;
        unsigned int guarantee;        /* of the weakest of them */
        unsigned int in_turn;          /* members tried in this turn of the loop */
        struct hf_acquire_job *member; /* whose step is under way, or who gives something back */
        struct hf_resource_result got; /* fd >= 0: the lock that was waited for, of: */
        size_t got_for;
        bool again; /* what was in the way is gone meanwhile: another try is due */
        bool ends;  /* there will be no other one */

        /* What was in the way at last. */
        struct hf_set_acquired outcome;
        struct hf_record elsewhere;
        bool foreign;
        uint32_t blocked_by; /* a lock of the table; 0: none */

        /* In the queue. */
        struct hf_queue_entry *entry;            /* NULL: it does not wait */
        struct hf_set *next_woken, **prev_woken; /* to be looked at; prev NULL: not */
        bool waits;                              /* it did wait: LIST-WAITERS tells of it */
        struct hf_set_told {
                uint64_t at; /* CLOCK_BOOTTIME; 0: never */
                unsigned int position;
                size_t refused;
                uint32_t hold;
                uint64_t since;
        } told;                 /* to its client, about why it waits */
        uint64_t look_at;       /* CLOCK_BOOTTIME; when to look again; 0: not by time */
        struct hf_await *await; /* for the holder of outcome.refused */
};

static inline const struct hf_holdfast_acquire_args *hf_set_want(const struct hf_set *set,
                                                                 size_t member)
{
        return &set->args.wants.wants_val[member];
}

static inline struct hf_thing hf_set_thing_of(const struct hf_holdfast_acquire_args *want)
{
        return (struct hf_thing){want->thing.kind, want->thing.dev, want->thing.ino};
}

static inline size_t hf_set_size(const struct hf_set *set)
{
        return set->args.wants.wants_len;
}

static inline bool hf_set_is_of_metadata(const struct hf_set *set)
{
        return set->args.class == HF_HOLDFAST_METADATA;
}

/* acquire-set.c: the begin and the end */

/* The acquire of a member, as if it was asked for alone. -ENOENT: no such lockspace; -ENOMEM. */
int hf_set_member_job(const struct hf_set *set, size_t member, struct hf_acquire_job **ret);

/* Gives back all that the try has; then the set ends, waits, or tries again. */
void hf_set_give_back(struct hf_set *set);

/* Goes on when something was given back, if all of it was. */
void hf_set_given(struct hf_set *set);

/* Gives back the lock that was waited for, if it is in hand: the set is not to try now. */
void hf_set_give_awaited(struct hf_set *set);

/* Whether a part of the try is what it was: nobody else has given it back. */
bool hf_set_has(const struct hf_set *set, const struct hf_set_part *part);

/* Answers with the outcome, once nothing is held. The set is gone. */
void hf_set_end(struct hf_set *set);

/* Without an answer. */
void hf_set_free(struct hf_set *set);

/* set-try.c */

/* Puts the members in the order in which they are tried. */
void hf_set_put_in_order(struct hf_set *set);

/* Begins another try. */
void hf_set_try(struct hf_set *set);

/* Goes on with one that was interrupted so that others are served. */
void hf_set_go_on(struct hf_set *set);

/* set-look.c: what stands in the way, without asking a filesystem */

/* Has the outcome be what stands against it in the table now, if anything does; or in the queue. */
bool hf_set_look(struct hf_set *set);
bool hf_set_look_at_line(struct hf_set *set);

/* Whether its owner has something, so that it may not wait. Fills in the outcome then. */
bool hf_set_may_not_wait(struct hf_set *set);

/* Has the outcome be a hold against a member, or a failure: then there is no other try. */
void hf_set_note_hold(struct hf_set *set, size_t member, uint32_t hold);
void hf_set_fail(struct hf_set *set, int status);

/* Has the outcome say it in words, once somebody is to read them. */
void hf_set_describe(struct hf_set *set);

/* set-program.c: tells the world that it begins to wait, and that it has been answered. */
void hf_set_note_wait(struct hf_set *set);
void hf_set_note_end(const struct hf_set *set);

/* set-program.c: says to the client what is in the outcome; false: it is to be said later. */
bool hf_wire_tell_waiting(const struct hf_set *set);

/* wait.c */

/* Gives it its place in the queue: a new one, or that of the session's ticket. -ENOMEM. */
int hf_waits_enter(struct hf_set *set);
void hf_waits_leave(struct hf_set *set);

/* Lets it wait for what is in the way. */
void hf_waits_begin(struct hf_set *set);

/* It is to be looked at soon, in this turn of the loop; when some lock has gone; in the next turn.
 */
void hf_waits_wake(struct hf_set *set);
void hf_waits_give(struct hf_set *set);
void hf_waits_next_turn(struct hf_set *set);

/* Whom it has waited for by a helper is not waited for any more. */
void hf_waits_await_no_more(struct hf_set *set);

/* A member was found to be that thing. */
void hf_waits_learn(struct hf_set *set, size_t member, const struct hf_thing *thing);
