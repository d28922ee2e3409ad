/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lockspace/rules.h"

#include <errno.h>
#include <string.h>

static const struct hf_verdict free_to_take = {.kind = HF_VERDICT_FREE};

/* A hold on the lock that stands against the request, or 0. */
static uint32_t opposing_hold(struct hf_table *table, uint32_t index,
                              const struct hf_request *request)
{
        const struct hf_lock *lock = hf_table_lock(table, index);
        bool shared = lock->flags & HF_LOCK_SHARED;

        if (shared && request->shared)
                return 0;
        for (uint32_t i = lock->first_hold; i; i = hf_table_hold(table, i)->next_in_lock)
                if (hf_table_hold(table, i)->owner != request->owner)
                        return i;
        /* All are the owner's own: the same mode again is fine, another mode is not. */
        return shared == request->shared ? 0 : lock->first_hold;
}

uint32_t hf_rules_hold_of(struct hf_table *table, uint32_t owner, uint32_t lockspace,
                          const char *name)
{
        uint32_t i = hf_table_find_name(table, lockspace, name);

        while (i && hf_table_hold(table, i)->owner != owner)
                i = hf_table_next_name(table, i);
        return i;
}

struct hf_verdict hf_rules_by_name(struct hf_table *table, const struct hf_request *request)
{
        uint32_t seen = 0;

        for (uint32_t i = hf_table_find_name(table, request->lockspace, request->name); i;
             i = hf_table_next_name(table, i)) {
                uint32_t lock = hf_table_hold(table, i)->lock, opposing;

                if (lock == seen)
                        continue;
                seen = lock;
                opposing = opposing_hold(table, lock, request);
                if (opposing)
                        return (struct hf_verdict){HF_VERDICT_CONFLICT, lock, opposing};
        }
        return free_to_take;
}

/* What the request, against which nothing stands, is to a lock on its own file. */
static struct hf_verdict same_file(struct hf_table *table, uint32_t lock,
                                   const struct hf_request *request)
{
        uint32_t i = hf_table_find_name(table, request->lockspace, request->name);

        for (; i; i = hf_table_next_name(table, i)) {
                const struct hf_hold *hold = hf_table_hold(table, i);

                if (hold->lock == lock && hold->owner == request->owner)
                        return (struct hf_verdict){HF_VERDICT_HAVE, lock, i};
        }
        return (struct hf_verdict){HF_VERDICT_JOIN, lock, 0};
}

/*
 * A lock on the request's own file. What is shared under one hashed name may be
 * one image for one VM and its replacement for the next: these are two locks.
 */
static bool may_join(const struct hf_lock *lock, const struct hf_request *request)
{
        bool known = lock->thing.kind && request->thing.kind;

        return hf_thing_same(&lock->file, &request->file) &&
               !(request->shared && known && !hf_thing_same(&lock->thing, &request->thing));
}

/*
 * Every lock that touches the request: on the same lock file, or protecting the
 * same thing. A lock file may itself be somebody's protected thing, so the file
 * is looked up in that index as well; a direct lock is in both with one identity.
 */
static uint32_t next_touching(struct hf_table *table, const struct hf_request *request,
                              uint32_t after, int *stage)
{
        const struct hf_thing *keys[] = {&request->file, &request->file, &request->thing};

        for (; *stage < 3; (*stage)++, after = 0) {
                uint32_t i = *stage == 0 ? hf_table_find_file(table, keys[0], after)
                                         : hf_table_find_thing(table, keys[*stage], after);

                if (i)
                        return i;
        }
        return 0;
}

struct hf_verdict hf_rules_by_thing(struct hf_table *table, const struct hf_request *request)
{
        struct hf_verdict verdict = free_to_take;
        uint32_t lock = 0;
        int stage = 0;

        while ((lock = next_touching(table, request, lock, &stage))) {
                uint32_t opposing = opposing_hold(table, lock, request);

                if (opposing)
                        return (struct hf_verdict){HF_VERDICT_CONFLICT, lock, opposing};
                if (verdict.kind != HF_VERDICT_HAVE &&
                    may_join(hf_table_lock(table, lock), request))
                        verdict = same_file(table, lock, request);
        }
        return verdict;
}

int hf_rules_check_name(const char *name)
{
        if (!*name || strchr(name, '/') || !strcmp(name, ".") || !strcmp(name, ".."))
                return -EINVAL;
        return 0;
}
