/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lockspace/table.h"

#include "base/cleanup.h"
#include "lockspace/arena.h"

#include <string.h>
#include <sys/mman.h>

/* Buckets of every index. Chains stay short up to some ten thousand entries. */
#define BUCKETS (1U << 14)

/*
 * A pool of records of one size. A free record has its `next` (the first field
 * of every record type) in the chain of free ones and its bit in no index.
 */
struct pool {
        uint32_t max;
        uint32_t used; /* high-water mark; record 0 is never used */
        uint32_t free;
        uint32_t count;
};

/* The mapping. Everything is reached by the offsets of this struct. */
struct map {
        struct pool owner_pool, lock_pool, hold_pool, lockspace_pool;
        struct hf_arena arena;
        uint32_t owner_by_pid[BUCKETS];
        uint32_t lock_by_file[BUCKETS];
        uint32_t lock_by_thing[BUCKETS];
        uint32_t first_searched;
        uint32_t hold_by_name[BUCKETS];
        struct hf_lockspace lockspaces[HF_TABLE_LOCKSPACES_MAX];
        struct hf_owner owners[HF_TABLE_OWNERS_MAX];
        struct hf_lock locks[HF_TABLE_LOCKS_MAX];
        struct hf_hold holds[HF_TABLE_HOLDS_MAX];
        char strings[HF_TABLE_STRINGS_SIZE];
};

struct hf_table {
        struct map *map;
};

_Static_assert(offsetof(struct hf_owner, next) == 0, "pools link records by their first field");
_Static_assert(offsetof(struct hf_lock, next) == 0, "pools link records by their first field");
_Static_assert(offsetof(struct hf_hold, next) == 0, "pools link records by their first field");
_Static_assert(offsetof(struct hf_lockspace, next) == 0, "pools link records by their first field");

/*
 * Multiplies and folds, eight bytes at a time; the keys are names that peers
 * choose, and a long chain only costs time.
 */
static uint32_t hash_bytes(uint64_t seed, const void *data, size_t len)
{
        const unsigned char *bytes = data;
        uint64_t h = 0xcbf29ce484222325ULL ^ seed;

        for (size_t at = 0; at < len; at += sizeof(uint64_t)) {
                size_t left = len - at;
                uint64_t word = 0;

                memcpy(&word, bytes + at, left < sizeof(word) ? left : sizeof(word));
                h = (h ^ word) * 0x9e3779b97f4a7c15ULL;
                h ^= h >> 32;
        }
        return (uint32_t)h;
}

static uint32_t *bucket_of_thing(uint32_t *buckets, const struct hf_thing *thing)
{
        uint64_t key[2] = {thing->dev, thing->ino};

        return &buckets[hash_bytes(thing->kind, key, sizeof(key)) % BUCKETS];
}

/*
 * The chain of locks on one thing, or of those whose thing is searched for. A
 * lock of which nothing more can be known is in none (NULL).
 */
static uint32_t *chain_by_thing(struct map *map, const struct hf_lock *lock)
{
        if (lock->thing.kind != HF_THING_NONE)
                return bucket_of_thing(map->lock_by_thing, &lock->thing);
        return lock->flags & HF_LOCK_SEARCHED ? &map->first_searched : NULL;
}

static void *record(void *base, size_t size, uint32_t index)
{
        return (char *)base + size * index;
}

/* Takes a zeroed record. Returns its index, or 0 when the pool is full. */
static uint32_t pool_take(struct pool *pool, void *base, size_t size)
{
        uint32_t index = pool->free;

        if (index)
                pool->free = *(uint32_t *)record(base, size, index);
        else if (pool->used + 1 < pool->max)
                index = ++pool->used;
        else
                return 0;
        memset(record(base, size, index), 0, size);
        pool->count++;
        return index;
}

static void pool_give(struct pool *pool, void *base, size_t size, uint32_t index)
{
        memset(record(base, size, index), 0, size);
        *(uint32_t *)record(base, size, index) = pool->free;
        pool->free = index;
        pool->count--;
}

#define TAKE(map, kind) pool_take(&(map)->kind##_pool, (map)->kind##s, sizeof((map)->kind##s[0]))
#define GIVE(map, kind, index)                                                                     \
        pool_give(&(map)->kind##_pool, (map)->kind##s, sizeof((map)->kind##s[0]), index)

/* Takes index out of a chain that runs through the field at `offset` of the records. */
static void unchain(uint32_t *head, void *base, size_t size, size_t offset, uint32_t index)
{
        uint32_t *at = head;

        while (*at != index)
                at = (uint32_t *)(void *)((char *)record(base, size, *at) + offset);
        *at = *(uint32_t *)(void *)((char *)record(base, size, index) + offset);
}

#define UNCHAIN(map, head, kind, field, index)                                                     \
        unchain(head, (map)->kind##s, sizeof((map)->kind##s[0]),                                   \
                offsetof(struct hf_##kind, field), index)

int hf_table_new(struct hf_table **ret)
{
        hf_cleanup_free struct hf_table *table = calloc(1, sizeof(*table));
        uint32_t lockspace;
        void *map;

        if (!table)
                return -ENOMEM;
        map = mmap(NULL, sizeof(*table->map), PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (map == MAP_FAILED)
                return -ENOMEM;
        table->map = map;
        table->map->owner_pool.max = HF_TABLE_OWNERS_MAX;
        table->map->lock_pool.max = HF_TABLE_LOCKS_MAX;
        table->map->hold_pool.max = HF_TABLE_HOLDS_MAX;
        table->map->lockspace_pool.max = HF_TABLE_LOCKSPACES_MAX;
        hf_arena_init(&table->map->arena, HF_TABLE_STRINGS_SIZE);
        (void)hf_table_add_lockspace(table, "", &lockspace);
        *ret = hf_steal_ptr(table);
        return 0;
}

struct hf_table *hf_table_free(struct hf_table *table)
{
        if (table)
                (void)munmap(table->map, sizeof(*table->map));
        free(table);
        return NULL;
}

struct hf_owner *hf_table_owner(struct hf_table *table, uint32_t owner)
{
        return &table->map->owners[owner];
}

struct hf_lock *hf_table_lock(struct hf_table *table, uint32_t lock)
{
        return &table->map->locks[lock];
}

struct hf_hold *hf_table_hold(struct hf_table *table, uint32_t hold)
{
        return &table->map->holds[hold];
}

const char *hf_table_string(const struct hf_table *table, uint32_t string)
{
        return table->map->strings + string;
}

const char *hf_table_lockspace_path(struct hf_table *table, uint32_t lockspace)
{
        return hf_table_string(table, table->map->lockspaces[lockspace].path);
}

static int add_string(struct map *map, const char *text, size_t max, uint32_t *ret)
{
        size_t len = strnlen(text, max);
        uint32_t string = hf_arena_add(&map->arena, map->strings, text, (uint32_t)len);

        if (!string)
                return -ENOSPC;
        *ret = string;
        return 0;
}

uint32_t hf_table_find_lockspace(struct hf_table *table, const char *path)
{
        struct map *map = table->map;

        for (uint32_t i = 1; i <= map->lockspace_pool.used; i++)
                if (!strcmp(hf_table_lockspace_path(table, i), path))
                        return i;
        return 0;
}

int hf_table_add_lockspace(struct hf_table *table, const char *path, uint32_t *ret)
{
        struct map *map = table->map;
        uint32_t index, string;
        int r;

        if (strlen(path) > HF_TABLE_STRING_MAX)
                return -ENAMETOOLONG;
        r = add_string(map, path, HF_TABLE_STRING_MAX, &string);
        if (r < 0)
                return r;
        index = TAKE(map, lockspace);
        if (!index) {
                hf_arena_remove(&map->arena, map->strings, string);
                return -ENOSPC;
        }
        map->lockspaces[index].path = string;
        *ret = index;
        return 0;
}

static uint32_t *bucket_of_pid(struct map *map, pid_t pid)
{
        return &map->owner_by_pid[(uint32_t)pid % BUCKETS];
}

uint32_t hf_table_find_owner(struct hf_table *table, pid_t pid, uint64_t start)
{
        uint32_t i = *bucket_of_pid(table->map, pid);

        /* The chain begins with the newest. */
        while (i && !(hf_table_owner(table, i)->pid == pid &&
                      (start == 0 || hf_table_owner(table, i)->start == start)))
                i = hf_table_owner(table, i)->next;
        return i;
}

int hf_table_add_owner(struct hf_table *table, const struct hf_owner_info *info, uint32_t *ret)
{
        struct map *map = table->map;
        uint32_t index, string, *bucket = bucket_of_pid(map, info->pid);
        struct hf_owner *owner;
        int r;

        r = add_string(map, info->name, HF_TABLE_OWNER_NAME_MAX, &string);
        if (r < 0)
                return r;
        index = TAKE(map, owner);
        if (!index) {
                hf_arena_remove(&map->arena, map->strings, string);
                return -ENOSPC;
        }
        owner = hf_table_owner(table, index);
        owner->pid = info->pid;
        owner->start = info->start;
        owner->since = info->since;
        memcpy(owner->uuid, info->uuid, sizeof(owner->uuid));
        owner->name = string;
        owner->id = info->id;
        owner->pidfd = info->pidfd;
        (void)snprintf(owner->via, sizeof(owner->via), "%s", info->via);
        owner->next = *bucket;
        *bucket = index;
        *ret = index;
        return 0;
}

void hf_table_remove_owner(struct hf_table *table, uint32_t index)
{
        struct map *map = table->map;
        struct hf_owner *owner = hf_table_owner(table, index);

        UNCHAIN(map, bucket_of_pid(map, owner->pid), owner, next, index);
        hf_arena_remove(&map->arena, map->strings, owner->name);
        GIVE(map, owner, index);
}

static uint32_t hash_name(uint32_t lockspace, const char *name)
{
        return hash_bytes(lockspace, name, strlen(name));
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

        return match_name(table, table->map->hold_by_name[hash % BUCKETS], lockspace, hash, name);
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

static void link_by_thing(struct map *map, uint32_t index)
{
        uint32_t *chain = chain_by_thing(map, &map->locks[index]);

        if (!chain)
                return;
        map->locks[index].next_thing = *chain;
        *chain = index;
}

static void unlink_by_thing(struct map *map, uint32_t index)
{
        uint32_t *chain = chain_by_thing(map, &map->locks[index]);

        if (chain)
                UNCHAIN(map, chain, lock, next_thing, index);
}

int hf_table_add_lock(struct hf_table *table, const struct hf_thing *file,
                      const struct hf_thing *thing, int fd, uint32_t flags, uint32_t *ret)
{
        struct map *map = table->map;
        uint32_t index = TAKE(map, lock), *bucket;
        struct hf_lock *lock;

        if (!index)
                return -ENOSPC;
        lock = hf_table_lock(table, index);
        lock->file = *file;
        lock->thing = *thing;
        lock->fd = fd;
        lock->flags = flags;
        bucket = bucket_of_thing(map->lock_by_file, file);
        lock->next = *bucket;
        *bucket = index;
        link_by_thing(map, index);
        *ret = index;
        return 0;
}

uint32_t hf_table_find_searched(struct hf_table *table, uint32_t after)
{
        return after ? hf_table_lock(table, after)->next_thing : table->map->first_searched;
}

void hf_table_set_thing(struct hf_table *table, uint32_t index, const struct hf_thing *thing)
{
        struct map *map = table->map;
        struct hf_lock *lock = hf_table_lock(table, index);

        unlink_by_thing(map, index);
        lock->flags &= ~(uint32_t)HF_LOCK_SEARCHED;
        lock->thing = *thing;
        link_by_thing(map, index);
}

void hf_table_remove_lock(struct hf_table *table, uint32_t index)
{
        struct map *map = table->map;
        struct hf_lock *lock = hf_table_lock(table, index);

        UNCHAIN(map, bucket_of_thing(map->lock_by_file, &lock->file), lock, next, index);
        unlink_by_thing(map, index);
        GIVE(map, lock, index);
}

static void link_hold(struct map *map, uint32_t index)
{
        struct hf_hold *hold = &map->holds[index];
        struct hf_lock *lock = &map->locks[hold->lock];
        struct hf_owner *owner = &map->owners[hold->owner];
        uint32_t *bucket = &map->hold_by_name[hold->name_hash % BUCKETS];

        hold->next = *bucket;
        *bucket = index;
        hold->next_in_lock = lock->first_hold;
        lock->first_hold = index;
        lock->holds++;
        hold->next_in_owner = owner->first_hold;
        if (owner->first_hold)
                map->holds[owner->first_hold].prev_in_owner = index;
        owner->first_hold = index;
        owner->holds++;
}

int hf_table_add_hold(struct hf_table *table, const struct hf_hold_info *info, uint32_t *ret)
{
        struct map *map = table->map;
        uint32_t index, string;
        struct hf_hold *hold;
        int r;

        if (strlen(info->name) > HF_TABLE_STRING_MAX)
                return -ENAMETOOLONG;
        r = add_string(map, info->name, HF_TABLE_STRING_MAX, &string);
        if (r < 0)
                return r;
        index = TAKE(map, hold);
        if (!index) {
                hf_arena_remove(&map->arena, map->strings, string);
                return -ENOSPC;
        }
        hold = hf_table_hold(table, index);
        hold->lock = info->lock;
        hold->owner = info->owner;
        hold->lockspace = info->lockspace;
        hold->name = string;
        hold->name_hash = hash_name(info->lockspace, info->name);
        hold->since = info->since;
        memcpy(hold->via, info->via, strnlen(info->via, sizeof(hold->via) - 1));
        link_hold(map, index);
        *ret = index;
        return 0;
}

void hf_table_remove_hold(struct hf_table *table, uint32_t index)
{
        struct map *map = table->map;
        struct hf_hold *hold = hf_table_hold(table, index);
        struct hf_lock *lock = &map->locks[hold->lock];
        struct hf_owner *owner = &map->owners[hold->owner];

        UNCHAIN(map, &map->hold_by_name[hold->name_hash % BUCKETS], hold, next, index);
        UNCHAIN(map, &lock->first_hold, hold, next_in_lock, index);
        lock->holds--;
        if (hold->prev_in_owner)
                map->holds[hold->prev_in_owner].next_in_owner = hold->next_in_owner;
        else
                owner->first_hold = hold->next_in_owner;
        if (hold->next_in_owner)
                map->holds[hold->next_in_owner].prev_in_owner = hold->prev_in_owner;
        owner->holds--;
        hf_arena_remove(&map->arena, map->strings, hold->name);
        GIVE(map, hold, index);
}

struct hf_table_counts hf_table_count(const struct hf_table *table)
{
        const struct map *map = table->map;

        return (struct hf_table_counts){
                .owners = map->owner_pool.count,
                .locks = map->lock_pool.count,
                .holds = map->hold_pool.count,
                .lockspaces = map->lockspace_pool.count,
        };
}

uint32_t hf_table_next_owner(struct hf_table *table, uint32_t after)
{
        for (uint32_t i = after + 1; i <= table->map->owner_pool.used; i++)
                if (table->map->owners[i].pid)
                        return i;
        return 0;
}

uint32_t hf_table_next_hold(struct hf_table *table, uint32_t after)
{
        for (uint32_t i = after + 1; i <= table->map->hold_pool.used; i++)
                if (table->map->holds[i].lock)
                        return i;
        return 0;
}
