/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lockspace/rules.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const struct hf_verdict free_to_take = {.kind = HF_VERDICT_FREE};

/* A hold on the lock that stands against the request, or 0. */
static uint32_t opposing_hold(struct hf_table *table, uint32_t index,
                              const struct hf_request *request)
{
        const struct hf_lock *lock = hf_table_lock(table, index);
        bool shared = lock->flags & HF_LOCK_SHARED;

        /* Its file may be unlocked at any moment, or somebody else's elsewhere: nobody can join it,
         * nor its owner have it again. */
        if (lock->flags & (HF_LOCK_RELEASING | HF_LOCK_UNSAFE))
                return lock->first_hold;
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

const struct hf_thing *hf_rules_thing(const struct hf_request *request)
{
        return request->lockspace == HF_LOCKSPACE_DEFAULT ? &request->file : &request->thing;
}

/*
 * Every lock that touches the request: the file or the protected thing of one is
 * the file or the protected thing of the other. A lock file may itself be
 * somebody's disk, so both are looked up in both indexes.
 */
static uint32_t next_touching(struct hf_table *table, const struct hf_request *request,
                              uint32_t after, unsigned int *stage)
{
        const struct hf_thing *keys[] = {&request->file, &request->thing};

        for (; *stage < 4; (*stage)++, after = 0) {
                const struct hf_thing *key = keys[*stage / 2];
                uint32_t i = *stage % 2 == 0 ? hf_table_find_file(table, key, after)
                                             : hf_table_find_thing(table, key, after);

                if (i)
                        return i;
        }
        return 0;
}

/* The claim that the request's owner has to this lock by the same name, or 0. */
static uint32_t same_claim(struct hf_table *table, uint32_t lock, const struct hf_request *request)
{
        uint32_t i = hf_table_find_name(table, request->lockspace, request->name);

        while (i && !(hf_table_hold(table, i)->lock == lock &&
                      hf_table_hold(table, i)->owner == request->owner))
                i = hf_table_next_name(table, i);
        return i;
}

/*
 * On a lock of the request's own file that does not oppose it. A lock has one
 * thing: a sharer of which another is known, or of which more or less is known,
 * takes a lock beside it. Beside an exclusive lock there is no room for one; all
 * its names are the owner's, and stand for the same unless they are known not to.
 */
static struct hf_verdict judge_same_file(struct hf_table *table, uint32_t index,
                                         const struct hf_request *request)
{
        const struct hf_lock *lock = hf_table_lock(table, index);
        const struct hf_thing *thing = hf_rules_thing(request);
        bool unknown = thing->kind == HF_THING_NONE;
        bool lock_unknown = lock->thing.kind == HF_THING_NONE;
        uint32_t claim;

        if (!unknown && !lock_unknown && !hf_thing_same(thing, &lock->thing))
                return request->shared
                               ? free_to_take
                               : (struct hf_verdict){HF_VERDICT_CONFLICT, index, lock->first_hold};
        claim = same_claim(table, index, request);
        if (claim)
                return (struct hf_verdict){HF_VERDICT_HAVE, index, claim};
        if (request->shared && unknown != lock_unknown)
                return free_to_take;
        return (struct hf_verdict){HF_VERDICT_JOIN, index, 0};
}

struct hf_verdict hf_rules_by_thing(struct hf_table *table, const struct hf_request *request)
{
        struct hf_verdict verdict = free_to_take;
        unsigned int stage = 0;
        uint32_t lock = 0;

        while ((lock = next_touching(table, request, lock, &stage))) {
                uint32_t opposing = opposing_hold(table, lock, request);

                if (opposing)
                        return (struct hf_verdict){HF_VERDICT_CONFLICT, lock, opposing};
                if (verdict.kind != HF_VERDICT_HAVE &&
                    hf_thing_same(&hf_table_lock(table, lock)->file, &request->file)) {
                        struct hf_verdict here = judge_same_file(table, lock, request);

                        if (here.kind == HF_VERDICT_CONFLICT)
                                return here;
                        if (here.kind != HF_VERDICT_FREE)
                                verdict = here;
                }
        }
        return verdict;
}

struct hf_thing hf_rules_metadata_key(uint64_t dev, uint64_t ino)
{
        return (struct hf_thing){HF_THING_METADATA, dev, ino};
}

uint32_t hf_rules_metadata(struct hf_table *table, const struct hf_thing *thing)
{
        struct hf_thing key = hf_rules_metadata_key(thing->dev, thing->ino);
        uint32_t lock = hf_table_find_file(table, &key, 0);

        return lock ? hf_table_lock(table, lock)->first_hold : 0;
}

char *hf_rules_path(const char *lockspace, const char *name)
{
        char *path;

        if (!*lockspace)
                return strdup(name);
        return asprintf(&path, "%s/%s", lockspace, name) < 0 ? NULL : path;
}

const char *hf_rules_put_path(const char *lockspace, const char *name,
                              char buf[static HF_RULES_PATH_MAX])
{
        if (!*lockspace)
                return name;
        (void)snprintf(buf, HF_RULES_PATH_MAX, "%s/%s", lockspace, name);
        return buf;
}

int hf_rules_check_name(const char *name)
{
        if (!*name || strchr(name, '/') || !strcmp(name, ".") || !strcmp(name, ".."))
                return -EINVAL;
        return 0;
}
