/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The place of a set in the queue. */
#include "daemon/wait-private.h"

#include "base/cleanup.h"
#include "daemon/area.h"
#include "storage/resource.h"

#include <errno.h>

/* Members whose things are looked for when a set begins to wait: some 100 microseconds. */
#define LEARNED_MAX 64

static struct hf_queue_want queue_want(const struct hf_set *set, size_t member)
{
        const struct hf_holdfast_acquire_args *want = &set->args.wants.wants_val[member];
        struct hf_queue_want ret = {
                .lockspace = hf_table_find_lockspace(set->server->table, want->path),
                .name = want->name,
                .thing = {want->thing.kind, want->thing.dev, want->thing.ino},
                .shared = want->flags & HF_LOCK_ACQUIRE_SHARED,
        };

        if (hf_set_is_of_metadata(set)) {
                ret.name = NULL;
                ret.thing = hf_rules_metadata_key(want->thing.dev, want->thing.ino);
        }
        return ret;
}

static int enqueue(struct hf_set *set)
{
        size_t n = hf_set_size(set);
        hf_cleanup_free struct hf_queue_want *wants = calloc(n, sizeof(*wants));

        if (!wants)
                return -ENOMEM;
        for (size_t i = 0; i < n; i++)
                wants[i] = queue_want(set, i);
        return hf_queue_add(set->server->waits->queue, set->number, wants, n, set, &set->entry);
}

/* A successor finds it by these, once it has the ticket. */
static void note_ticket(const struct hf_set *set)
{
        struct hf_session *session = set->session;

        session->wait_until = set->until;
        session->waiting_since = set->begun;
        atomic_signal_fence(memory_order_release);
        session->ticket = set->number;
}

int hf_waits_enter(struct hf_set *set)
{
        const struct hf_session *session = set->session;
        uint64_t timeout = set->args.timeout;
        int r;

        set->number = session->ticket;
        set->begun = session->waiting_since;
        set->until = session->wait_until;
        set->resumed = set->number != 0;
        if (!set->number) {
                set->number = ++set->server->area->next_ticket;
                set->begun = hf_work_boottime();
                set->until = timeout < HF_HOLDFAST_FOREVER - set->begun ? set->begun + timeout : 0;
        }
        if (timeout == 0)
                return 0;
        r = enqueue(set);
        if (r >= 0) {
                set->owner = session->owner;
                set->server->waits->by_owner[set->owner]++;
                note_ticket(set);
        }
        return r;
}

void hf_waits_leave(struct hf_set *set)
{
        struct hf_waits *waits = set->server->waits;

        hf_waits_unlink(set);
        hf_waits_await_no_more(set);
        if (!set->entry)
                return;
        waits->by_owner[set->owner]--;
        waits->tellers -= set->waits && set->args.flags & HF_HOLDFAST_SET_PROGRESS;
        set->entry = hf_queue_remove(set->entry);
        hf_waits_say_changes(waits);
        hf_waits_watch_loop(waits);
}

void hf_waits_learn(struct hf_set *set, size_t member, const struct hf_thing *thing)
{
        /* Without memory it is known by its name only, as before. */
        (void)hf_queue_learn(set->entry, member, thing);
}

void hf_waits_learn_things(struct hf_set *set)
{
        size_t n = hf_set_size(set) < LEARNED_MAX ? hf_set_size(set) : LEARNED_MAX;

        for (size_t i = 0; i < n; i++) {
                const struct hf_holdfast_acquire_args *want = &set->args.wants.wants_val[i];
                struct hf_thing thing;

                if (!*want->path && want->thing.kind == HF_THING_NONE &&
                    !hf_set_is_of_metadata(set) &&
                    hf_work_is_local(set->server, want->name, false) &&
                    hf_resource_identify_cached(want->name, &thing) == 0)
                        hf_waits_learn(set, i, &thing);
        }
}
