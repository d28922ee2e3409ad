/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The try of a set: member after member, until all are there or one is not to be had. */
#include "daemon/set-private.h"

#include "daemon/dispatch.h"
#include "daemon/metadata.h"
#include "daemon/owner.h"
#include "daemon/wait.h"

#include <errno.h>
#include <string.h>

/* Members tried in one turn of the loop, before others are served: some 100 microseconds. */
#define MEMBERS_PER_TURN 32

/* The outcome says why it was refused: for now, or for good. */
static void refuse(struct hf_set *set)
{
        /* A filesystem that has too much to do is waited for, too. */
        if (set->outcome.status == -EAGAIN && set->entry)
                set->outcome.status = -EBUSY;
        if (set->outcome.status != -EBUSY || !set->entry ||
            (set->until && hf_work_boottime() >= set->until))
                set->ends = true;
        else
                (void)hf_set_may_not_wait(set);
        hf_set_give_back(set);
}

static int enter_metadata(struct hf_set *set, size_t member, struct hf_acquired *ret)
{
        const struct hf_holdfast_acquire_args *want = hf_set_want(set, member);
        struct hf_table *table = set->server->table;
        const struct hf_metadata_lock what = {
                .owner = set->session->owner,
                .thing = hf_set_thing_of(want),
                .name = want->name,
                .via = set->session->via,
                .since = hf_server_wall_clock(set->server),
                .set = set->number,
        };

        ret->file = hf_rules_metadata_key(what.thing.dev, what.thing.ino);
        ret->hold = hf_rules_metadata(table, &what.thing);
        if (ret->hold) {
                ret->had = hf_table_hold(table, ret->hold)->set == set->number;
                ret->status = ret->had ? 0 : -EBUSY;
                return HF_ANSWERED;
        }
        ret->status = hf_metadata_enter(set->server, &what, &ret->hold);
        if (ret->status < 0)
                ret->status = hf_error_sys(&ret->error, -ret->status,
                                           "cannot note the lock of the metadata of %s",
                                           want->name);
        return HF_ANSWERED;
}

static int begin_member(struct hf_set *set, size_t member, struct hf_acquired *ret)
{
        int r;

        if (hf_set_is_of_metadata(set))
                return enter_metadata(set, member, ret);
        r = hf_set_member_job(set, member, &set->member);
        if (r < 0) {
                ret->status = hf_error_sys(&ret->error, -r, "cannot lock %s",
                                           hf_set_want(set, member)->name);
                return HF_ANSWERED;
        }
        set->member->session = set->session;
        set->member->set = set;
        set->member->number = set->number;
        set->member->since = hf_server_wall_clock(set->server);
        if (set->got.fd >= 0 && set->got_for == member) {
                set->member->result = set->got;
                set->member->has_lock = true;
                set->member->begun = set->got.proved;
                set->got.fd = -1;
        }
        return hf_acquire_begin(set->member, ret);
}

/* The member stands in its own set's way: it was asked for in two modes. */
static bool is_own(const struct hf_set *set, uint32_t hold)
{
        return hold && hf_table_hold(set->server->table, hold)->set == set->number;
}

static void note_refusal(struct hf_set *set, size_t member, const struct hf_acquired *acquired)
{
        struct hf_set_acquired *outcome = &set->outcome;

        if (acquired->hold)
                hf_set_note_hold(set, member, acquired->hold);
        outcome->refused = member;
        outcome->status = acquired->status;
        outcome->hold = acquired->hold;
        outcome->error = acquired->error;
        outcome->elsewhere = NULL;
        set->foreign = acquired->foreign;
        if (!acquired->hold)
                set->blocked_by = 0;
        if (acquired->elsewhere) {
                set->elsewhere = *acquired->elsewhere;
                outcome->elsewhere = &set->elsewhere;
        }
        if (!is_own(set, acquired->hold))
                return;
        hf_set_fail(set,
                    hf_error_set(&outcome->error, EINVAL, HF_ERR_INVALID_ARG, HF_FROM_LOCKSPACE,
                                 "the set asks for %s twice, shared and not shared",
                                 hf_set_want(set, member)->name));
}

/* Whoever waits for the same by another name is to stand in the same line. */
static void learn(struct hf_set *set, size_t member)
{
        if (set->member && set->entry)
                hf_waits_learn(set, member, hf_rules_thing(&set->member->request));
}

/* As far as a lock goes: of a metadata lock as far as this host. */
static void note_guarantee(struct hf_set *set, const struct hf_thing *file)
{
        struct hf_guarantee_of guarantee = {.level = HF_LEVEL_HOST};

        if (!hf_set_is_of_metadata(set))
                hf_work_guarantee(set->server, file, &guarantee);
        if (set->at == 0 || (unsigned int)guarantee.level < set->guarantee)
                set->guarantee = guarantee.level;
}

/* What is there by the member that is being tried, which was had. */
static void add_part(struct hf_set *set, const struct hf_acquired *acquired)
{
        struct hf_set_part *part = &set->parts[set->at];

        note_guarantee(set, &acquired->file);
        *part = (struct hf_set_part){.hold = acquired->hold};
        part->check = hf_table_hold(set->server->table, part->hold)->check;
        /* Named twice: it is there by the first time. */
        if (acquired->had && !part->check)
                part->hold = 0;
        set->at++;
}

/* Whether the try goes on: the member that is being tried is there. */
static bool take_note(struct hf_set *set, const struct hf_acquired *acquired)
{
        size_t member = set->order[set->at];

        learn(set, member);
        if (acquired->status < 0) {
                note_refusal(set, member, acquired);
                refuse(set);
                return false;
        }
        set->member = hf_acquire_job_free(set->member);
        add_part(set, acquired);
        /* It is known now what is behind its name, and somebody else asked for that before. */
        if (hf_set_look_at_line(set)) {
                refuse(set);
                return false;
        }
        return true;
}

static bool is_whole(const struct hf_set *set)
{
        for (size_t i = 0; i < set->at; i++)
                if (set->parts[i].hold && !hf_set_has(set, &set->parts[i]))
                        return false;
        return true;
}

static void grant(struct hf_set *set)
{
        struct hf_table *table = set->server->table;
        uint32_t first = 0, last = 0;

        /* Others were served meanwhile, who may have given back what is another one's. */
        if (!is_whole(set)) {
                set->again = true;
                hf_set_give_back(set);
                return;
        }
        for (size_t i = 0; i < set->at; i++) {
                uint32_t hold = set->parts[i].check ? 0 : set->parts[i].hold;

                if (!hold)
                        continue;
                if (last)
                        hf_table_hold(table, last)->next_in_set = hold;
                else
                        first = hold;
                last = hold;
        }
        set->outcome = (struct hf_set_acquired){
                .had = first == 0,
                .number = first ? set->number : 0,
                .guarantee = set->guarantee,
        };
        if (first)
                hf_session_intend(set->session, HF_INTENT_CLAIM_SET, first);
        hf_set_end(set);
}

void hf_set_go_on(struct hf_set *set)
{
        struct hf_error *err = &set->outcome.error;
        int r = hf_owner_bind(set->session, err);

        if (r < 0) {
                hf_set_fail(set, r);
                hf_set_give_back(set);
                return;
        }
        while (set->at < hf_set_size(set)) {
                struct hf_acquired acquired = {0};

                if (set->in_turn++ == MEMBERS_PER_TURN) {
                        set->in_turn = 0;
                        hf_waits_next_turn(set);
                        return;
                }
                if (begin_member(set, set->order[set->at], &acquired) == HF_PENDING ||
                    !take_note(set, &acquired))
                        return;
        }
        grant(set);
}

void hf_set_member_ended(struct hf_set *set, const struct hf_acquired *acquired)
{
        struct hf_server *server = set->server;

        set->in_turn = 0;
        if (take_note(set, acquired))
                hf_set_go_on(set);
        hf_waits_serve(server);
}

static int by_name(const void *a, const void *b, void *data)
{
        const struct hf_holdfast_acquire_args *x = hf_set_want(data, *(const uint32_t *)a);
        const struct hf_holdfast_acquire_args *y = hf_set_want(data, *(const uint32_t *)b);
        int r = strcmp(x->path, y->path);

        return r ? r : strcmp(x->name, y->name);
}

/* What was waited for comes first: it is in hand. */
void hf_set_put_in_order(struct hf_set *set)
{
        uint32_t n = (uint32_t)hf_set_size(set), at = 0;

        for (uint32_t i = 0; i < n; i++)
                set->order[i] = i;
        if (n > 1)
                qsort_r(set->order, n, sizeof(*set->order), by_name, set);
        if (set->got.fd < 0)
                return;
        while (set->order[at] != set->got_for)
                at++;
        memmove(set->order + 1, set->order, at * sizeof(*set->order));
        set->order[0] = (uint32_t)set->got_for;
}

void hf_set_try(struct hf_set *set)
{
        struct hf_error error;
        int r = hf_owner_bind(set->session, &error);

        hf_waits_await_no_more(set);
        set->state = HF_SET_TRYING;
        set->again = false;
        set->look_at = 0;
        set->in_turn = 0;
        set->blocked_by = 0;
        if (set->got.fd >= 0)
                hf_set_put_in_order(set);
        if (r < 0) {
                set->outcome.error = error;
                hf_set_fail(set, r);
                hf_set_give_back(set);
        } else if (hf_set_look(set))
                refuse(set);
        else
                hf_set_go_on(set);
}
