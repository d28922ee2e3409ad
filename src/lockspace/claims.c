/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lockspace/claims.h"

#include "lockspace/map.h"

#include <errno.h>
#include <string.h>

uint32_t hf_claims_end(const struct hf_table *table)
{
        uint32_t used = table->map->hold_pool.used;

        return used < HF_TABLE_HOLDS_MAX ? used : HF_TABLE_HOLDS_MAX - 1;
}

uint32_t hf_claims_lockspaces_end(const struct hf_table *table)
{
        uint32_t used = table->map->lockspace_pool.used;

        return used < HF_TABLE_LOCKSPACES_MAX ? used : HF_TABLE_LOCKSPACES_MAX - 1;
}

const char *hf_claims_string(const struct hf_table *table, uint32_t string, size_t max)
{
        size_t room;

        if (string == 0 || string >= table->text_end)
                return NULL;
        room = table->text_end - string;
        if (room > max + 1)
                room = max + 1;
        return memchr(table->map->strings + string, '\0', room) ? table->map->strings + string
                                                                : NULL;
}

static uint32_t check_of(const struct hf_claim *claim)
{
        /* Each number in a place of its own, so that none can stand in for another. */
        const uint64_t words[] = {
                (uint64_t)claim->pid, claim->start,        claim->id,
                claim->vm_since,      claim->since,        claim->shared,
                claim->autocreate,    (uint64_t)claim->fd, (uint64_t)claim->file.kind,
                claim->file.dev,      claim->file.ino,     claim->client,
                claim->set,
        };
        uint32_t h = hf_map_hash(0, words, sizeof(words));

        h = hf_map_hash(h, claim->uuid, sizeof(claim->uuid));
        h = hf_map_hash(h, claim->vm, strlen(claim->vm));
        h = hf_map_hash(h, claim->lockspace, strlen(claim->lockspace));
        h = hf_map_hash(h, claim->name, strlen(claim->name));
        h = hf_map_hash(h, claim->via, strlen(claim->via));
        return h | 1;
}

/* Everything that the hold says, whether it is right or not. -EBADMSG if it cannot be read. */
static int read_claim(struct hf_table *table, const struct hf_hold *hold, struct hf_claim *ret)
{
        const struct hf_map *map = table->map;
        const struct hf_owner *owner = &map->owners[hold->owner % HF_TABLE_OWNERS_MAX];
        const struct hf_lock *lock = &map->locks[hold->lock % HF_TABLE_LOCKS_MAX];
        const struct hf_lockspace
                *lockspace = &map->lockspaces[hold->lockspace % HF_TABLE_LOCKSPACES_MAX];

        *ret = (struct hf_claim){
                .pid = owner->pid,
                .start = owner->start,
                .client = owner->client,
                .id = owner->id,
                .vm = hf_claims_string(table, owner->name, HF_TABLE_OWNER_NAME_MAX),
                .vm_since = owner->since,
                .lockspace = hf_claims_string(table, lockspace->path, HF_TABLE_STRING_MAX),
                .name = hf_claims_string(table, hold->name, HF_TABLE_STRING_MAX),
                .via = hold->via,
                .since = hold->since,
                .set = hold->set,
                .shared = lock->flags & HF_LOCK_SHARED,
                .autocreate = lock->flags & HF_LOCK_AUTOCREATE,
                .fd = lock->fd,
                .file = lock->file,
                .carried = owner->state == HF_OWNER_CARRIED,
                .duplicated = lock->flags & HF_LOCK_DUPLICATED,
                .serial = lock->serial,
                .unsafe = lock->flags & HF_LOCK_UNSAFE,
                .acted = owner->acted,
                .on_lost = owner->on_lost < HF_ON_LOST_KINDS ? owner->on_lost : HF_ON_LOST_DEFAULT,
                .monitor = hf_table_monitor(table, hold->owner % HF_TABLE_OWNERS_MAX),
        };
        if (lock->thing_check == hf_claims_check_thing(&lock->thing))
                ret->thing = lock->thing;
        memcpy(ret->uuid, owner->uuid, sizeof(ret->uuid));
        if (!ret->vm || !ret->lockspace || !ret->name ||
            !memchr(hold->via, '\0', sizeof(hold->via)))
                return -EBADMSG;
        return 0;
}

static bool is_of_unfinished_set(const struct hf_table *table, const struct hf_hold *hold)
{
        const struct hf_map *map = table->map;

        return hold->set && hold->set == map->unfinished_set &&
               map->unfinished_check == ~map->unfinished_set;
}

int hf_claims_get(struct hf_table *table, uint32_t index, struct hf_claim *ret)
{
        const struct hf_hold *hold = hf_table_hold(table, index);
        struct hf_claim claim;

        if (!hold->check || is_of_unfinished_set(table, hold))
                return 0;
        if (read_claim(table, hold, &claim) < 0 || check_of(&claim) != hold->check)
                return -EBADMSG;
        *ret = claim;
        return 1;
}

uint32_t hf_claims_check(struct hf_table *table, uint32_t index)
{
        struct hf_claim claim;

        return read_claim(table, hf_table_hold(table, index), &claim) < 0 ? 0 : check_of(&claim);
}

uint32_t hf_claims_check_thing(const struct hf_thing *thing)
{
        const uint64_t words[] = {thing->kind, thing->dev, thing->ino};

        return hf_map_hash(0, words, sizeof(words)) | 1;
}

/* With the NUL that has to end it. */
uint32_t hf_claims_check_monitor(const struct hf_owner *owner)
{
        const size_t size = sizeof(owner->monitor);

        if (owner->monitor[size - 1])
                return 0;
        return hf_map_hash(size, owner->monitor, size) | 1;
}

uint32_t hf_claims_check_lockspace(struct hf_table *table, uint32_t index)
{
        const char *path = hf_claims_string(table, table->map->lockspaces[index].path,
                                            HF_TABLE_STRING_MAX);

        return path ? hf_map_hash(0, path, strlen(path)) | 1 : 0;
}

int hf_claims_get_lockspace(struct hf_table *table, uint32_t index, const char **ret)
{
        const struct hf_lockspace *lockspace = &table->map->lockspaces[index];

        if (!lockspace->check)
                return 0;
        if (hf_claims_check_lockspace(table, index) != lockspace->check)
                return -EBADMSG;
        *ret = hf_table_lockspace_path(table, index);
        return 1;
}
