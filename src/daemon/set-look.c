/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What stands in a set's way, as far as that is known without asking a filesystem. */
#include "daemon/set-private.h"

#include "base/cleanup.h"

#include <errno.h>
#include <string.h>

/* Without asking a filesystem: a hold against the member, or 0. */
static uint32_t opposing_hold(struct hf_set *set, size_t member)
{
        const struct hf_holdfast_acquire_args *want = hf_set_want(set, member);
        struct hf_table *table = set->server->table;
        struct hf_request request = {
                .owner = set->session->owner,
                .lockspace = hf_table_find_lockspace(table, want->path),
                .name = want->name,
                .shared = want->flags & HF_LOCK_ACQUIRE_SHARED,
                .thing = hf_set_thing_of(want),
        };
        struct hf_verdict verdict;

        if (hf_set_is_of_metadata(set))
                return hf_rules_metadata(table, &request.thing);
        verdict = hf_rules_by_name(table, &request);
        if (verdict.kind != HF_VERDICT_CONFLICT && request.thing.kind != HF_THING_NONE) {
                if (request.lockspace == HF_LOCKSPACE_DEFAULT)
                        request.file = request.thing;
                verdict = hf_rules_by_thing(table, &request);
        }
        return verdict.kind == HF_VERDICT_CONFLICT ? verdict.hold : 0;
}

void hf_set_note_hold(struct hf_set *set, size_t member, uint32_t hold)
{
        set->outcome.status = -EBUSY;
        set->outcome.refused = member;
        set->outcome.hold = hold;
        set->outcome.elsewhere = NULL;
        set->outcome.error.text[0] = '\0';
        set->foreign = false;
        set->blocked_by = hf_table_hold(set->server->table, hold)->lock;
}

bool hf_set_look(struct hf_set *set)
{
        for (size_t i = 0; i < hf_set_size(set); i++) {
                uint32_t hold = opposing_hold(set, set->order[i]);

                if (hold) {
                        hf_set_note_hold(set, set->order[i], hold);
                        return true;
                }
        }
        return false;
}

bool hf_set_look_at_line(struct hf_set *set)
{
        if (!set->entry || hf_queue_is_ready(set->entry))
                return false;
        set->outcome = (struct hf_set_acquired){.status = -EBUSY,
                                                .refused = hf_queue_obstacle(set->entry)};
        set->foreign = false;
        set->blocked_by = 0;
        return true;
}

/* What is kept for those who asked before. */
static void describe_line(struct hf_set *set)
{
        size_t member = set->outcome.refused;
        unsigned int before = hf_queue_position(set->entry, member) - 1;

        (void)hf_error_set(&set->outcome.error, EBUSY, HF_ERR_RESOURCE_BUSY, HF_FROM_LOCKSPACE,
                           "%u who asked before wait%s for %s", before, before == 1 ? "s" : "",
                           hf_set_want(set, member)->name);
}

void hf_set_describe(struct hf_set *set)
{
        const struct hf_holdfast_acquire_args *want = hf_set_want(set, set->outcome.refused);
        struct hf_acquire_job job = {
                .server = set->server,
                .name = want->name,
                .request = {.owner = set->session->owner,
                            .shared = want->flags & HF_LOCK_ACQUIRE_SHARED},
        };
        hf_cleanup_free char *words = NULL;
        struct hf_acquired refused = {0};
        const struct hf_hold *hold = hf_table_hold(set->server->table, set->outcome.hold);

        if (*set->outcome.error.text)
                return;
        if (!set->outcome.hold) {
                if (set->entry)
                        describe_line(set);
                return;
        }
        if (hf_set_is_of_metadata(set)) {
                const char *name = *want->name ? want->name
                                               : hf_table_string(set->server->table, hold->name);

                if (asprintf(&words, "the metadata of %s", *name ? name : "a file") < 0)
                        words = NULL;
                job.name = words ? words : want->name;
                job.request.owner = 0;
        }
        hf_acquire_refuse(&job, set->outcome.hold, &refused);
        set->outcome.error = refused.error;
}

void hf_set_fail(struct hf_set *set, int status)
{
        set->outcome.status = status;
        set->outcome.hold = 0;
        set->outcome.elsewhere = NULL;
        set->foreign = false;
        set->ends = true;
}

/* Holds that were not given back before, by all that is known. */
static unsigned int count_holds(struct hf_set *set)
{
        struct hf_table *table = set->server->table;
        unsigned int n = 0;

        for (uint32_t i = hf_table_owner(table, set->session->owner)->first_hold; i;
             i = hf_table_hold(table, i)->next_in_owner) {
                const struct hf_hold *hold = hf_table_hold(table, i);

                n += hold->check && !(hf_table_lock(table, hold->lock)->flags & HF_LOCK_RELEASING);
        }
        return n;
}

bool hf_set_may_not_wait(struct hf_set *set)
{
        unsigned int holds = count_holds(set);
        char text[HF_ERROR_TEXT_MAX];

        if (holds == 0)
                return false;
        hf_set_describe(set);
        memcpy(text, set->outcome.error.text, sizeof(text));
        hf_set_fail(
                set,
                hf_error_set(&set->outcome.error, EDEADLK, HF_ERR_SYSTEM, HF_FROM_LOCKSPACE,
                             "%.700s%spid %d holds %u lock%s already, and who holds something "
                             "does not wait for more, as it could be waited for in turn: acquire "
                             "all at once, or release that first",
                             text, *text ? "; and " : "", (int)set->session->owner_pid, holds,
                             holds > 1 ? "s" : ""));
        set->outcome.error.sys = EDEADLK;
        return true;
}
