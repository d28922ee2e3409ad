/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lockspace/map.h"

#include <errno.h>
#include <string.h>

_Static_assert(offsetof(struct hf_owner, next) == 0, "pools link records by their first field");
_Static_assert(offsetof(struct hf_lock, next) == 0, "pools link records by their first field");
_Static_assert(offsetof(struct hf_hold, next) == 0, "pools link records by their first field");
_Static_assert(offsetof(struct hf_lockspace, next) == 0, "pools link records by their first field");

static uint64_t fold(uint64_t h, uint64_t word)
{
        h = (h ^ word) * 0x9e3779b97f4a7c15ULL;
        return h ^ h >> 32;
}

/*
 * Multiplies and folds, eight bytes at a time; the keys are names that peers
 * choose, and a long chain only costs time.
 */
uint32_t hf_map_hash(uint64_t seed, const void *data, size_t len)
{
        const unsigned char *bytes = data;
        uint64_t h = 0xcbf29ce484222325ULL ^ seed, word;

        for (; len >= sizeof(word); bytes += sizeof(word), len -= sizeof(word)) {
                memcpy(&word, bytes, sizeof(word));
                h = fold(h, word);
        }
        word = 0;
        memcpy(&word, bytes, len);
        return (uint32_t)fold(h, word);
}

static void *record(void *base, size_t size, uint32_t index)
{
        return (char *)base + size * index;
}

uint32_t hf_pool_take(struct hf_pool *pool, void *base, size_t size)
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

void hf_pool_give(struct hf_pool *pool, void *base, size_t size, uint32_t index)
{
        memset(record(base, size, index), 0, size);
        *(uint32_t *)record(base, size, index) = pool->free;
        pool->free = index;
        pool->count--;
}

void hf_map_unchain(uint32_t *head, void *base, size_t size, size_t offset, uint32_t index)
{
        uint32_t *at = head;

        while (*at != index)
                at = (uint32_t *)(void *)((char *)record(base, size, *at) + offset);
        *at = *(uint32_t *)(void *)((char *)record(base, size, index) + offset);
}

int hf_map_add_string(struct hf_map *map, const char *text, size_t max, uint32_t *ret)
{
        size_t len = strnlen(text, max);
        uint32_t string = hf_arena_add(&map->arena, map->strings, text, (uint32_t)len);

        if (!string)
                return -ENOSPC;
        *ret = string;
        return 0;
}
