/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The mapping behind the lock table: pools of fixed records, the chains that run
 * through them, and the strings. For the files of the table alone.
 *
 * It lies in a file, where it outlives the daemon, or, where there can be none,
 * in one without a name, which lives as long as a descriptor of it. A file is as
 * long as the mapping from the start and has storage only as far as it is used:
 * storage is asked for before a byte is written, as a store for which there is
 * none would be the end of the process.
 */

#include "lockspace/arena.h"
#include "lockspace/table.h"

#include <stdbool.h>

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

/* Whose file it is. Changes with every change of a record. */
#define HF_MAP_MAGIC   "holdmap"
#define HF_MAP_VERSION 5

struct hf_map_head {
        char magic[8];
        uint32_t version;
        uint32_t record_size; /* of all kinds together: a guard against a forgotten version */
        uint64_t size;        /* of the mapping */
        uint8_t boot[16];     /* the kernel's boot id: processes of another boot are gone */
};

/* The mapping. Everything is reached by the offsets of this struct. */
struct hf_map {
        struct hf_map_head head;
        struct hf_pool owner_pool, lock_pool, hold_pool, lockspace_pool;
        struct hf_arena arena;
        /* Whose holds are being claimed, one after the other; with its complement, else it is none.
         */
        uint64_t unfinished_set, unfinished_check;
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

/* The unit in which a file gets storage. */
#define HF_MAP_GRANULE ((size_t)64 * 1024)

struct hf_marks;

struct hf_table {
        struct hf_map *map;
        int fd;                 /* of the file; -1: a copy to read */
        bool kept;              /* the file has a name */
        uint32_t text_end;      /* up to where strings may be read */
        struct hf_marks *marks; /* of a table that was adopted, for its rebuilding */
        bool backed[sizeof(struct hf_map) / HF_MAP_GRANULE + 1]; /* granules that have storage */
};

/* Makes a mapping, of a file or (fd -1) of private memory, and closes it. What mmap says. */
int hf_map_open(struct hf_table *table, int fd);
void hf_map_close(struct hf_table *table);

/* Returns NULL, which it takes as well. */
struct hf_marks *hf_map_free_marks(struct hf_marks *marks);

/* Whether the head is that of a table of this program. */
bool hf_map_is_ours(const struct hf_map *map);
/* Writes the head. boot may be NULL. */
void hf_map_sign(struct hf_map *map, const uint8_t *boot);

/*
 * Finds out what of a file that another process has written has storage. What
 * has some was asked for whole granules before its first byte was written.
 */
int hf_map_find_backed(struct hf_table *table);

/* How many of len bytes from a place on have storage, without a gap. */
size_t hf_map_reach(const struct hf_table *table, const void *at, size_t len);

/*
 * Copies a file into a mapping in memory, so that nothing that happens to the
 * file can be the end of the reader. A part without storage is not read: in a
 * mapping of a tmpfs it would get some. What read says; -EBADMSG: it is too short.
 */
int hf_map_read(struct hf_table *table, int fd);

/* Sees to it that len bytes of the mapping can be written. -ENOSPC. */
int hf_map_back(struct hf_table *table, const void *at, size_t len);

/* Takes a zeroed record. Returns its index, or 0 when the pool or the file system is full. */
uint32_t hf_pool_take(struct hf_table *table, struct hf_pool *pool, void *base, size_t size);
void hf_pool_give(struct hf_pool *pool, void *base, size_t size, uint32_t index);

#define HF_MAP_TAKE(table, kind)                                                                   \
        hf_pool_take(table, &(table)->map->kind##_pool, (table)->map->kind##s,                     \
                     sizeof((table)->map->kind##s[0]))
#define HF_MAP_GIVE(map, kind, index)                                                              \
        hf_pool_give(&(map)->kind##_pool, (map)->kind##s, sizeof((map)->kind##s[0]), index)

/* Takes index out of a chain that runs through the field at `offset` of the records. */
void hf_map_unchain(uint32_t *head, void *base, size_t size, size_t offset, uint32_t index);

#define HF_MAP_UNCHAIN(map, head, kind, field, index)                                              \
        hf_map_unchain(head, (map)->kind##s, sizeof((map)->kind##s[0]),                            \
                       offsetof(struct hf_##kind, field), index)

/* Puts a record into the indexes, and a hold into the chains of its lock and its owner. */
void hf_map_link_owner(struct hf_map *map, uint32_t owner);
void hf_map_link_lock(struct hf_map *map, uint32_t lock);
void hf_map_link_hold(struct hf_map *map, uint32_t hold);

/* For the bucket of a key. */
uint32_t hf_map_hash(uint64_t seed, const void *data, size_t len);

/* Copies a string of at most max bytes, cutting it there, into the arena. -ENOSPC. */
int hf_map_add_string(struct hf_table *table, const char *text, size_t max, uint32_t *ret);
