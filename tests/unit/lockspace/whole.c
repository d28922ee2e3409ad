/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "whole.h"

#include "base/cleanup.h"
#include "lockspace/claims.h"
#include "lockspace/map.h"

#include <string.h>
#include <sys/mman.h>

/* More than the tests have of anything. */
#define RECORDS_MAX 4096
#define GRAINS_MAX  (1U << 16)

/* What became of a record or a block. */
enum { NOT_SEEN, FREE, IN_CHAIN };

static uint8_t owners[RECORDS_MAX], locks[RECORDS_MAX], holds[RECORDS_MAX], spaces[RECORDS_MAX];
static uint8_t blocks[GRAINS_MAX];

#define MUST(condition)                                                                            \
        do {                                                                                       \
                if (!(condition))                                                                  \
                        return #condition;                                                         \
        } while (0)

#define TRY(call)                                                                                  \
        do {                                                                                       \
                const char *try_fault = (call);                                                    \
                if (try_fault)                                                                     \
                        return try_fault;                                                          \
        } while (0)

static uint32_t next_of(const void *base, size_t size, size_t field, uint32_t i)
{
        return *(const uint32_t *)(const void *)((const char *)base + size * i + field);
}

#define NEXT(map, kind, field, i)                                                                  \
        next_of((map)->kind##s, sizeof((map)->kind##s[0]), offsetof(struct hf_##kind, field), i)

static const char *check_pool(const struct hf_pool *pool, const void *base, size_t size,
                              uint32_t max, uint8_t *seen)
{
        uint32_t n = 0;

        memset(seen, NOT_SEEN, RECORDS_MAX);
        MUST(pool->max == max && pool->used < RECORDS_MAX && pool->used < max);
        for (uint32_t i = pool->free; i; i = next_of(base, size, 0, i), n++) {
                MUST(i <= pool->used && seen[i] == NOT_SEEN);
                seen[i] = FREE;
                for (size_t at = sizeof(uint32_t); at < size; at++)
                        MUST(((const char *)base)[size * i + at] == 0);
        }
        MUST(pool->count + n == pool->used);
        return NULL;
}

/* A chain of an index: records in use, each in no other chain of it. */
#define CHECK_CHAIN(map, head, kind, field, seen, n)                                               \
        do {                                                                                       \
                for (uint32_t ch = (head); ch; ch = NEXT(map, kind, field, ch), (n)++) {           \
                        MUST(ch <= (map)->kind##_pool.used && (seen)[ch] == NOT_SEEN);             \
                        (seen)[ch] = IN_CHAIN;                                                     \
                }                                                                                  \
        } while (0)

/* For the next index. */
static void forget_chains(uint8_t *seen)
{
        for (size_t i = 0; i < RECORDS_MAX; i++)
                if (seen[i] == IN_CHAIN)
                        seen[i] = NOT_SEEN;
}

static uint32_t find_owner(struct hf_table *table, const struct hf_owner *owner)
{
        return owner->client ? hf_table_find_client(table, owner->pid, owner->start, owner->client)
                             : hf_table_find_owner(table, owner->pid, owner->start);
}

static const char *check_owners(struct hf_table *table)
{
        const struct hf_map *map = table->map;
        uint32_t n = 0, held = 0;

        for (size_t i = 0; i < HF_MAP_BUCKETS; i++)
                CHECK_CHAIN(map, map->owner_by_pid[i], owner, next, owners, n);
        MUST(n == map->owner_pool.count);
        for (uint32_t i = 1; i <= map->owner_pool.used; i++) {
                const struct hf_owner *owner = &map->owners[i], *found;
                uint32_t of_owner = 0, prev = 0;

                if (owners[i] == FREE)
                        continue;
                /* Damage may have made two of one process. */
                found = &map->owners[find_owner(table, owner)];
                MUST(owner->pid && found->pid == owner->pid);
                MUST(!owner->start || found->start == owner->start);
                MUST(found->client == owner->client);
                CHECK_CHAIN(map, owner->first_hold, hold, next_in_owner, holds, of_owner);
                for (uint32_t h = owner->first_hold; h; prev = h, h = map->holds[h].next_in_owner)
                        MUST(map->holds[h].owner == i && map->holds[h].prev_in_owner == prev);
                MUST(of_owner == owner->holds);
                held += of_owner;
        }
        MUST(held == map->hold_pool.count);
        forget_chains(holds);
        return NULL;
}

static const char *check_things(struct hf_table *table)
{
        const struct hf_map *map = table->map;
        uint32_t n = 0;

        forget_chains(locks);
        for (size_t i = 0; i < HF_MAP_BUCKETS; i++)
                CHECK_CHAIN(map, map->lock_by_thing[i], lock, next_thing, locks, n);
        for (uint32_t i = 1; i <= map->lock_pool.used; i++) {
                const struct hf_lock *lock = &map->locks[i];
                uint32_t at = hf_table_find_thing(table, &lock->thing, 0);

                if (locks[i] == FREE)
                        continue;
                MUST(lock->thing_check == hf_claims_check_thing(&lock->thing));
                MUST((locks[i] == IN_CHAIN) == (lock->thing.kind != HF_THING_NONE));
                while (at && at != i)
                        at = hf_table_find_thing(table, &lock->thing, at);
                MUST(at || !lock->thing.kind);
        }
        n = 0;
        CHECK_CHAIN(map, map->first_searched, lock, next_thing, locks, n);
        for (uint32_t i = 1; i <= map->lock_pool.used; i++)
                MUST(locks[i] != NOT_SEEN || !(map->locks[i].flags & HF_LOCK_SEARCHED));
        for (uint32_t i = map->first_searched; i; i = map->locks[i].next_thing)
                MUST(map->locks[i].flags & HF_LOCK_SEARCHED);
        return NULL;
}

static const char *check_locks(struct hf_table *table)
{
        const struct hf_map *map = table->map;
        uint32_t n = 0, held = 0;

        for (size_t i = 0; i < HF_MAP_BUCKETS; i++)
                CHECK_CHAIN(map, map->lock_by_file[i], lock, next, locks, n);
        MUST(n == map->lock_pool.count);
        for (uint32_t i = 1; i <= map->lock_pool.used; i++) {
                const struct hf_lock *lock = &map->locks[i];
                uint32_t at = hf_table_find_file(table, &lock->file, 0), of_lock = 0;

                if (locks[i] == FREE)
                        continue;
                while (at && at != i)
                        at = hf_table_find_file(table, &lock->file, at);
                MUST(at);
                CHECK_CHAIN(map, lock->first_hold, hold, next_in_lock, holds, of_lock);
                for (uint32_t h = lock->first_hold; h; h = map->holds[h].next_in_lock)
                        MUST(map->holds[h].lock == i);
                MUST(of_lock && of_lock == lock->holds);
                held += of_lock;
                for (uint32_t other = 1; other < i; other++)
                        MUST(locks[other] == FREE || map->locks[other].fd != lock->fd ||
                             lock->fd == -1);
                MUST((lock->fd == -1) == (lock->file.kind == HF_THING_METADATA));
                MUST((lock->fd == -1) == !!(lock->flags & HF_LOCK_METADATA));
        }
        MUST(held == map->hold_pool.count);
        forget_chains(holds);
        return check_things(table);
}

static const char *check_holds(struct hf_table *table)
{
        const struct hf_map *map = table->map;
        uint32_t n = 0, unnamed = 0;

        for (size_t i = 0; i < HF_MAP_BUCKETS; i++)
                CHECK_CHAIN(map, map->hold_by_name[i], hold, next, holds, n);
        for (uint32_t i = 1; i <= map->hold_pool.used; i++) {
                const struct hf_hold *hold = &map->holds[i];
                struct hf_claim claim;
                uint32_t at;

                if (holds[i] == FREE)
                        continue;
                MUST(hf_claims_get(table, i, &claim) == 1);
                MUST(spaces[hold->lockspace] != FREE && owners[hold->owner] != FREE);
                at = hf_table_find_name(table, hold->lockspace, claim.name);
                while (at && at != i)
                        at = hf_table_next_name(table, at);
                MUST(!at == (map->locks[hold->lock].fd == -1));
                unnamed += !at;
        }
        MUST(n + unnamed == map->hold_pool.count);
        return NULL;
}

/* A string in use is at the beginning of a block, which nobody else has. */
static const char *check_string(const struct hf_map *map, uint32_t string)
{
        uint32_t offset = string - (uint32_t)sizeof(uint32_t), class;

        MUST(offset % HF_ARENA_GRAIN == 0 && offset < map->arena.used);
        MUST(blocks[offset / HF_ARENA_GRAIN] == IN_CHAIN);
        blocks[offset / HF_ARENA_GRAIN] = FREE;
        memcpy(&class, map->strings + offset, sizeof(class));
        MUST(sizeof(class) + strlen(map->strings + string) < (size_t) class * HF_ARENA_GRAIN);
        return NULL;
}

/* Blocks follow one another to the end; each is either in a free list or one string's. */
static const char *check_arena(const struct hf_map *map)
{
        const struct hf_arena *arena = &map->arena;
        uint32_t class, offset;

        MUST(arena->size == HF_TABLE_STRINGS_SIZE);
        MUST(arena->used % HF_ARENA_GRAIN == 0 && arena->used / HF_ARENA_GRAIN < GRAINS_MAX);
        memset(blocks, NOT_SEEN, sizeof(blocks));
        for (offset = HF_ARENA_GRAIN; offset < arena->used; offset += class * HF_ARENA_GRAIN) {
                blocks[offset / HF_ARENA_GRAIN] = IN_CHAIN;
                memcpy(&class, map->strings + offset, sizeof(class));
                MUST(class > 0 && class < HF_ARENA_CLASSES);
        }
        MUST(offset == arena->used);
        for (uint32_t list = 0; list < HF_ARENA_CLASSES; list++)
                for (offset = arena->free[list]; offset;
                     memcpy(&offset, map->strings + offset + sizeof(class), sizeof(offset))) {
                        MUST(offset % HF_ARENA_GRAIN == 0 && offset < arena->used);
                        MUST(blocks[offset / HF_ARENA_GRAIN] == IN_CHAIN);
                        blocks[offset / HF_ARENA_GRAIN] = FREE;
                        memcpy(&class, map->strings + offset, sizeof(class));
                        MUST(class == list);
                }
        for (uint32_t i = 1; i <= map->owner_pool.used; i++)
                if (owners[i] != FREE)
                        TRY(check_string(map, map->owners[i].name));
        for (uint32_t i = 1; i <= map->hold_pool.used; i++)
                if (holds[i] != FREE)
                        TRY(check_string(map, map->holds[i].name));
        for (uint32_t i = 1; i <= map->lockspace_pool.used; i++)
                if (spaces[i] != FREE)
                        TRY(check_string(map, map->lockspaces[i].path));
        MUST(!memchr(blocks, IN_CHAIN, sizeof(blocks)));
        return NULL;
}

const char *whole_fault(struct hf_table *table)
{
        const struct hf_map *map = table->map;
        const char *path;

        TRY(check_pool(&map->owner_pool, map->owners, sizeof(map->owners[0]), HF_TABLE_OWNERS_MAX,
                       owners));
        TRY(check_pool(&map->lock_pool, map->locks, sizeof(map->locks[0]), HF_TABLE_LOCKS_MAX,
                       locks));
        TRY(check_pool(&map->hold_pool, map->holds, sizeof(map->holds[0]), HF_TABLE_HOLDS_MAX,
                       holds));
        TRY(check_pool(&map->lockspace_pool, map->lockspaces, sizeof(map->lockspaces[0]),
                       HF_TABLE_LOCKSPACES_MAX, spaces));
        for (uint32_t i = 1; i <= map->lockspace_pool.used; i++)
                MUST(spaces[i] == FREE || hf_claims_get_lockspace(table, i, &path) == 1);
        MUST(hf_table_find_lockspace(table, "") == HF_LOCKSPACE_DEFAULT);
        TRY(check_owners(table));
        TRY(check_locks(table));
        TRY(check_holds(table));
        return check_arena(map);
}

struct hf_table *whole_copy(const struct hf_table *table)
{
        hf_cleanup_fd int fd = memfd_create("copy", MFD_CLOEXEC);
        const off_t size = sizeof(*table->map);
        struct hf_table *copy;
        off_t begin = 0;

        if (fd < 0 || ftruncate(fd, size) < 0)
                return NULL;
        while ((begin = lseek(table->fd, begin, SEEK_DATA)) >= 0 && begin < size) {
                off_t end = lseek(table->fd, begin, SEEK_HOLE);
                ssize_t len = end - begin;

                if (pwrite(fd, (const char *)table->map + begin, (size_t)len, begin) != len)
                        return NULL;
                begin = end;
        }
        if (hf_table_adopt(fd, false, &copy) < 0)
                return NULL;
        (void)hf_steal_fd(&fd);
        return copy;
}

const char *whole_use(struct hf_table *table)
{
        static const uint8_t uuid[16];
        const struct hf_thing file = {HF_THING_FILE, 99, 99};
        struct hf_owner_info info = {
                .pid = 99, .start = 99, .uuid = uuid, .name = "another-one", .via = "test"};
        struct hf_hold_info hold = {
                .lockspace = HF_LOCKSPACE_DEFAULT, .name = "/another", .via = "test"};
        uint32_t index;

        MUST(hf_table_add_owner(table, &info, &hold.owner) == 0);
        MUST(hf_table_add_lock(table, &file, &file, 99, 0, &hold.lock) == 0);
        MUST(hf_table_add_hold(table, &hold, &index) == 0);
        hf_table_claim_hold(table, index);
        TRY(whole_fault(table));
        hf_table_remove_hold(table, index);
        hf_table_remove_lock(table, hold.lock);
        hf_table_remove_owner(table, hold.owner);
        return whole_fault(table);
}

size_t whole_size(const struct hf_table *table)
{
        return offsetof(struct hf_map, strings) + table->map->arena.used;
}
