/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lockspace/map.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

_Static_assert(offsetof(struct hf_owner, next) == 0, "pools link records by their first field");
_Static_assert(offsetof(struct hf_lock, next) == 0, "pools link records by their first field");
_Static_assert(offsetof(struct hf_hold, next) == 0, "pools link records by their first field");
_Static_assert(offsetof(struct hf_lockspace, next) == 0, "pools link records by their first field");

/* A change of these is a new HF_MAP_VERSION. Where words are shorter all is laid out otherwise. */
#define HF_IS_LAYOUT_OF(number, kind, size)                                                        \
        (HF_MAP_VERSION == (number) && (sizeof(struct kind) == (size) || sizeof(void *) < 8))

_Static_assert(HF_IS_LAYOUT_OF(5, hf_owner, 240), "a new layout is a new version");
_Static_assert(HF_IS_LAYOUT_OF(5, hf_lock, 88), "a new layout is a new version");
_Static_assert(HF_IS_LAYOUT_OF(5, hf_hold, 88), "a new layout is a new version");
_Static_assert(HF_IS_LAYOUT_OF(5, hf_lockspace, 12), "a new layout is a new version");
_Static_assert(HF_IS_LAYOUT_OF(5, hf_map_head, 40), "a new layout is a new version");
_Static_assert(HF_IS_LAYOUT_OF(5, hf_map, 152355992), "a new layout is a new version");

static const size_t record_size = sizeof(struct hf_owner) + sizeof(struct hf_lock) +
                                  sizeof(struct hf_hold) + sizeof(struct hf_lockspace);

bool hf_map_is_ours(const struct hf_map *map)
{
        return !memcmp(map->head.magic, HF_MAP_MAGIC, sizeof(map->head.magic)) &&
               map->head.version == HF_MAP_VERSION && map->head.record_size == record_size &&
               map->head.size == sizeof(*map);
}

void hf_map_sign(struct hf_map *map, const uint8_t *boot)
{
        map->head = (struct hf_map_head){
                .magic = HF_MAP_MAGIC,
                .version = HF_MAP_VERSION,
                .record_size = (uint32_t)record_size,
                .size = sizeof(*map),
        };
        if (boot)
                memcpy(map->head.boot, boot, sizeof(map->head.boot));
}

int hf_map_open(struct hf_table *table, int fd)
{
        int flags = fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED;
        void *map = mmap(NULL, sizeof(*table->map), PROT_READ | PROT_WRITE, flags | MAP_NORESERVE,
                         fd, 0);

        if (map == MAP_FAILED)
                return -errno;
        table->map = map;
        table->fd = fd;
        table->text_end = HF_TABLE_STRINGS_SIZE;
        return 0;
}

void hf_map_close(struct hf_table *table)
{
        if (table->map)
                (void)munmap(table->map, sizeof(*table->map));
        table->map = NULL;
}

static int read_part(struct hf_table *table, int fd, off_t begin, off_t end)
{
        while (begin < end) {
                ssize_t got = pread(fd, (char *)table->map + begin, (size_t)(end - begin), begin);

                if (got < 0 && errno != EINTR)
                        return -errno;
                if (got == 0)
                        return -EBADMSG;
                begin += got > 0 ? got : 0;
        }
        return 0;
}

int hf_map_read(struct hf_table *table, int fd)
{
        const off_t size = sizeof(*table->map);
        off_t begin = 0;

        while ((begin = lseek(fd, begin, SEEK_DATA)) >= 0 && begin < size) {
                off_t end = lseek(fd, begin, SEEK_HOLE);
                int r;

                if (end < 0)
                        return -errno;
                end = end < size ? end : size;
                r = read_part(table, fd, begin, end);
                if (r < 0)
                        return r;
                begin = end;
        }
        /* ENXIO: no more data. */
        return begin < 0 && errno != ENXIO ? -errno : 0;
}

static int give_storage(int fd, size_t granule)
{
        size_t begin = granule * HF_MAP_GRANULE;
        size_t room = sizeof(struct hf_map) - begin;
        int r;

        /* The file must not become longer. */
        if (room > HF_MAP_GRANULE)
                room = HF_MAP_GRANULE;
        do
                r = posix_fallocate(fd, (off_t)begin, (off_t)room);
        while (r == EINTR);
        return -r;
}

int hf_map_back(struct hf_table *table, const void *at, size_t len)
{
        size_t begin = (size_t)((const char *)at - (const char *)table->map);

        if (table->fd < 0)
                return 0;
        for (size_t i = begin / HF_MAP_GRANULE; i <= (begin + len - 1) / HF_MAP_GRANULE; i++) {
                if (table->backed[i])
                        continue;
                if (give_storage(table->fd, i) < 0)
                        return -ENOSPC;
                table->backed[i] = true;
        }
        return 0;
}

int hf_map_find_backed(struct hf_table *table)
{
        const off_t size = sizeof(*table->map);
        off_t begin = 0, end;

        while ((begin = lseek(table->fd, begin, SEEK_DATA)) >= 0 && begin < size) {
                end = lseek(table->fd, begin, SEEK_HOLE);
                if (end < 0)
                        return -errno;
                for (size_t i = (size_t)begin / HF_MAP_GRANULE;
                     i <= (size_t)(end - 1) / HF_MAP_GRANULE; i++)
                        table->backed[i] = true;
                begin = end;
        }
        /* ENXIO: no more data. */
        return begin < 0 && errno != ENXIO ? -errno : 0;
}

size_t hf_map_reach(const struct hf_table *table, const void *at, size_t len)
{
        size_t begin = (size_t)((const char *)at - (const char *)table->map);
        size_t i = begin / HF_MAP_GRANULE, end;

        while (i <= (begin + len - 1) / HF_MAP_GRANULE && table->backed[i])
                i++;
        end = i * HF_MAP_GRANULE;
        if (end <= begin)
                return 0;
        return end - begin < len ? end - begin : len;
}

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

uint32_t hf_pool_take(struct hf_table *table, struct hf_pool *pool, void *base, size_t size)
{
        uint32_t index = pool->free;

        if (index)
                pool->free = *(uint32_t *)record(base, size, index);
        else if (pool->used + 1 < pool->max &&
                 hf_map_back(table, record(base, size, pool->used + 1), size) == 0)
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

int hf_map_add_string(struct hf_table *table, const char *text, size_t max, uint32_t *ret)
{
        struct hf_map *map = table->map;
        size_t len = strnlen(text, max);
        size_t room = HF_TABLE_STRINGS_SIZE - map->arena.used;
        uint32_t string;

        /* What is new is at the end; a string takes its own length and a little more. */
        if (room > len + 2 * (size_t)HF_ARENA_GRAIN)
                room = len + 2 * (size_t)HF_ARENA_GRAIN;
        if (room > 0 && hf_map_back(table, map->strings + map->arena.used, room) < 0)
                return -ENOSPC;
        string = hf_arena_add(&map->arena, map->strings, text, (uint32_t)len);
        if (!string)
                return -ENOSPC;
        *ret = string;
        return 0;
}
