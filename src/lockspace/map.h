/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The mapping behind the lock table: pools of fixed records, the chains that run
 * through them, and the strings. For the files of the table alone.
 */

#include "lockspace/arena.h"
#include "lockspace/table.h"

/* Buckets of every index. Chains stay short up to some ten thousand entries. */
#define HF_MAP_BUCKETS (1U << 14)

/*
 * A pool of records of one size. A free record has its `next` (the first field
 * of every record type) in the chain of free ones, and is in no index.
 */
struct hf_pool {
        uint32_t max;
        uint32_t used; /* high-water mark; record 0 is never used */
        uint32_t free;
        uint32_t count;
};

/* The mapping. Everything is reached by the offsets of this struct. */
struct hf_map {
        struct hf_pool owner_pool, lock_pool, hold_pool, lockspace_pool;
        struct hf_arena arena;
        uint32_t owner_by_pid[HF_MAP_BUCKETS];
        uint32_t lock_by_file[HF_MAP_BUCKETS];
        uint32_t lock_by_thing[HF_MAP_BUCKETS];
        uint32_t first_searched;
        uint32_t hold_by_name[HF_MAP_BUCKETS];
        struct hf_lockspace lockspaces[HF_TABLE_LOCKSPACES_MAX];
        struct hf_owner owners[HF_TABLE_OWNERS_MAX];
        struct hf_lock locks[HF_TABLE_LOCKS_MAX];
        struct hf_hold holds[HF_TABLE_HOLDS_MAX];
        char strings[HF_TABLE_STRINGS_SIZE];
};

struct hf_table {
        struct hf_map *map;
};

/* Takes a zeroed record. Returns its index, or 0 when the pool is full. */
uint32_t hf_pool_take(struct hf_pool *pool, void *base, size_t size);
void hf_pool_give(struct hf_pool *pool, void *base, size_t size, uint32_t index);

#define HF_MAP_TAKE(map, kind)                                                                     \
        hf_pool_take(&(map)->kind##_pool, (map)->kind##s, sizeof((map)->kind##s[0]))
#define HF_MAP_GIVE(map, kind, index)                                                              \
        hf_pool_give(&(map)->kind##_pool, (map)->kind##s, sizeof((map)->kind##s[0]), index)

/* Takes index out of a chain that runs through the field at `offset` of the records. */
void hf_map_unchain(uint32_t *head, void *base, size_t size, size_t offset, uint32_t index);

#define HF_MAP_UNCHAIN(map, head, kind, field, index)                                              \
        hf_map_unchain(head, (map)->kind##s, sizeof((map)->kind##s[0]),                            \
                       offsetof(struct hf_##kind, field), index)

/* For the bucket of a key. */
uint32_t hf_map_hash(uint64_t seed, const void *data, size_t len);

/* Copies a string of at most max bytes, cutting it there, into the arena. -ENOSPC. */
int hf_map_add_string(struct hf_map *map, const char *text, size_t max, uint32_t *ret);
