/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The table's locks and holds, and the indexes by which they are found. */
#include "lockspace/claims.h"
#include "lockspace/map.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>

static uint32_t *bucket_of_thing(uint32_t *buckets, const struct hf_thing *thing)
{
        uint64_t key[2] = {thing->dev, thing->ino};

        return &buckets[hf_map_hash(thing->kind, key, sizeof(key)) % HF_MAP_BUCKETS];
}

/*
 * The chain of locks on one thing, or of those whose thing is searched for. A
 * lock of which nothing more can be known is in none (NULL).
 */
static uint32_t *chain_by_thing(struct hf_map *map, const struct hf_lock *lock)
{
        if (lock->thing.kind != HF_THING_NONE)
                return bucket_of_thing(map->lock_by_thing, &lock->thing);
        return lock->flags & HF_LOCK_SEARCHED ? &map->first_searched : NULL;
}

static uint32_t hash_name(uint32_t lockspace, const char *name)
{
        return hf_map_hash(lockspace, name, strlen(name));
}

static uint32_t match_name(struct hf_table *table, uint32_t from, uint32_t lockspace, uint32_t hash,
                           const char *name)
{
        while (from) {
                const struct hf_hold *hold = hf_table_hold(table, from);

                if (hold->name_hash == hash && hold->lockspace == lockspace &&
                    !strcmp(hf_table_string(table, hold->name), name))
                        return from;
                from = hold->next;
        }
        return 0;
}

uint32_t hf_table_find_name(struct hf_table *table, uint32_t lockspace, const char *name)
{
        uint32_t hash = hash_name(lockspace, name);

        return match_name(table, table->map->hold_by_name[hash % HF_MAP_BUCKETS], lockspace, hash,
                          name);
}

uint32_t hf_table_next_name(struct hf_table *table, uint32_t hold)
{
        const struct hf_hold *h = hf_table_hold(table, hold);

        return match_name(table, h->next, h->lockspace, h->name_hash,
                          hf_table_string(table, h->name));
}

uint32_t hf_table_find_file(struct hf_table *table, const struct hf_thing *file, uint32_t after)
{
        uint32_t i = after ? hf_table_lock(table, after)->next
                           : *bucket_of_thing(table->map->lock_by_file, file);

        while (i && !hf_thing_same(&hf_table_lock(table, i)->file, file))
                i = hf_table_lock(table, i)->next;
        return i;
}

uint32_t hf_table_find_thing(struct hf_table *table, const struct hf_thing *thing, uint32_t after)
{
        uint32_t i = after ? hf_table_lock(table, after)->next_thing
                           : *bucket_of_thing(table->map->lock_by_thing, thing);

        while (i && !hf_thing_same(&hf_table_lock(table, i)->thing, thing))
                i = hf_table_lock(table, i)->next_thing;
        return i;
}

static void link_by_thing(struct hf_map *map, uint32_t index)
{
        uint32_t *chain = chain_by_thing(map, &map->locks[index]);

        if (!chain)
                return;
        map->locks[index].next_thing = *chain;
        *chain = index;
}

static void unlink_by_thing(struct hf_map *map, uint32_t index)
{
        uint32_t *chain = chain_by_thing(map, &map->locks[index]);

        if (chain)
                HF_MAP_UNCHAIN(map, chain, lock, next_thing, index);
}

void hf_map_link_lock(struct hf_map *map, uint32_t index)
{
        uint32_t *bucket = bucket_of_thing(map->lock_by_file, &map->locks[index].file);

        map->locks[index].next = *bucket;
        *bucket = index;
        link_by_thing(map, index);
}

int hf_table_add_lock(struct hf_table *table, const struct hf_thing *file,
                      const struct hf_thing *thing, int fd, uint32_t flags, uint32_t *ret)
{
        uint32_t index = HF_MAP_TAKE(table, lock);
        struct hf_lock *lock;

        if (!index)
                return -ENOSPC;
        lock = hf_table_lock(table, index);
        lock->file = *file;
        lock->thing = *thing;
        lock->thing_check = hf_claims_check_thing(thing);
        lock->fd = fd;
        lock->flags = flags;
        hf_map_link_lock(table->map, index);
        *ret = index;
        return 0;
}

uint32_t hf_table_find_searched(struct hf_table *table, uint32_t after)
{
        return after ? hf_table_lock(table, after)->next_thing : table->map->first_searched;
}

void hf_table_set_thing(struct hf_table *table, uint32_t index, const struct hf_thing *thing)
{
        struct hf_map *map = table->map;
        struct hf_lock *lock = hf_table_lock(table, index);

        unlink_by_thing(map, index);
        lock->thing_check = 0;
        atomic_signal_fence(memory_order_release);
        lock->thing = *thing;
        atomic_signal_fence(memory_order_release);
        lock->thing_check = hf_claims_check_thing(thing);
        /* Last, so that a search that is cut off is begun again. */
        atomic_signal_fence(memory_order_release);
        lock->flags &= ~(uint32_t)HF_LOCK_SEARCHED;
        link_by_thing(map, index);
}

void hf_table_set_releasing(struct hf_table *table, uint32_t index)
{
        hf_table_lock(table, index)->flags |= HF_LOCK_RELEASING;
        atomic_signal_fence(memory_order_release);
}

void hf_table_set_lease(struct hf_table *table, uint32_t index, uint32_t unsafe)
{
        uint32_t *flags = &hf_table_lock(table, index)->flags;

        *flags = (*flags & ~(uint32_t)HF_LOCK_UNSAFE) | unsafe;
        atomic_signal_fence(memory_order_release);
}

void hf_table_set_lot(struct hf_table *table, uint32_t index, uint32_t lot)
{
        uint32_t *flags = &hf_table_lock(table, index)->flags;

        /* Last: what is said to be there is there. */
        atomic_signal_fence(memory_order_release);
        *flags = (*flags & ((1U << HF_LOCK_LOT_SHIFT) - 1)) | lot << HF_LOCK_LOT_SHIFT;
}

void hf_table_remove_lock(struct hf_table *table, uint32_t index)
{
        struct hf_map *map = table->map;
        struct hf_lock *lock = hf_table_lock(table, index);

        HF_MAP_UNCHAIN(map, bucket_of_thing(map->lock_by_file, &lock->file), lock, next, index);
        unlink_by_thing(map, index);
        HF_MAP_GIVE(map, lock, index);
}

/* The path of what has a metadata lock may be another file for somebody else. */
static bool is_named(const struct hf_lock *lock)
{
        return !(lock->flags & HF_LOCK_METADATA);
}

void hf_map_link_hold(struct hf_map *map, uint32_t index)
{
        struct hf_hold *hold = &map->holds[index];
        struct hf_lock *lock = &map->locks[hold->lock];
        struct hf_owner *owner = &map->owners[hold->owner];

        hold->name_hash = hash_name(hold->lockspace, map->strings + hold->name);
        hold->next = 0;
        if (is_named(lock)) {
                uint32_t *bucket = &map->hold_by_name[hold->name_hash % HF_MAP_BUCKETS];

                hold->next = *bucket;
                *bucket = index;
        }
        hold->next_in_lock = lock->first_hold;
        lock->first_hold = index;
        lock->holds++;
        hold->prev_in_owner = 0;
        hold->next_in_owner = owner->first_hold;
        if (owner->first_hold)
                map->holds[owner->first_hold].prev_in_owner = index;
        owner->first_hold = index;
        owner->holds++;
}

int hf_table_add_hold(struct hf_table *table, const struct hf_hold_info *info, uint32_t *ret)
{
        struct hf_map *map = table->map;
        uint32_t index, string;
        struct hf_hold *hold;
        int r;

        if (strlen(info->name) > HF_TABLE_STRING_MAX)
                return -ENAMETOOLONG;
        r = hf_map_add_string(table, info->name, HF_TABLE_STRING_MAX, &string);
        if (r < 0)
                return r;
        index = HF_MAP_TAKE(table, hold);
        if (!index) {
                hf_arena_remove(&map->arena, map->strings, string);
                return -ENOSPC;
        }
        hold = hf_table_hold(table, index);
        hold->lock = info->lock;
        hold->owner = info->owner;
        hold->lockspace = info->lockspace;
        hold->name = string;
        hold->since = info->since;
        hold->set = info->set;
        memcpy(hold->via, info->via, strnlen(info->via, sizeof(hold->via) - 1));
        hf_map_link_hold(map, index);
        *ret = index;
        return 0;
}

void hf_table_claim_hold(struct hf_table *table, uint32_t index)
{
        uint32_t check = hf_claims_check(table, index);

        /* The last store: what was begun and not finished when we are killed is no claim. */
        atomic_signal_fence(memory_order_release);
        hf_table_hold(table, index)->check = check;
}

void hf_table_claim_set(struct hf_table *table, uint32_t first)
{
        struct hf_map *map = table->map;
        uint32_t i = first;

        map->unfinished_set = hf_table_hold(table, first)->set;
        atomic_signal_fence(memory_order_release);
        map->unfinished_check = ~map->unfinished_set;
        atomic_signal_fence(memory_order_release);
        /* What somebody else wrote there ends somewhere, too. */
        for (uint32_t n = 0; i && i < HF_TABLE_HOLDS_MAX && n < HF_TABLE_HOLDS_MAX; n++) {
                hf_table_claim_hold(table, i);
                i = hf_table_hold(table, i)->next_in_set;
        }
        atomic_signal_fence(memory_order_release);
        map->unfinished_check = 0;
}

void hf_table_remove_hold(struct hf_table *table, uint32_t index)
{
        struct hf_map *map = table->map;
        struct hf_hold *hold = hf_table_hold(table, index);
        struct hf_lock *lock = &map->locks[hold->lock];
        struct hf_owner *owner = &map->owners[hold->owner];

        /* The first store, as it is the last one when a claim is made. */
        hold->check = 0;
        atomic_signal_fence(memory_order_release);
        if (is_named(lock))
                HF_MAP_UNCHAIN(map, &map->hold_by_name[hold->name_hash % HF_MAP_BUCKETS], hold,
                               next, index);
        HF_MAP_UNCHAIN(map, &lock->first_hold, hold, next_in_lock, index);
        lock->holds--;
        if (hold->prev_in_owner)
                map->holds[hold->prev_in_owner].next_in_owner = hold->next_in_owner;
        else
                owner->first_hold = hold->next_in_owner;
        if (hold->next_in_owner)
                map->holds[hold->next_in_owner].prev_in_owner = hold->prev_in_owner;
        owner->holds--;
        hf_arena_remove(&map->arena, map->strings, hold->name);
        HF_MAP_GIVE(map, hold, index);
}
