/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lockspace/arena.h"

#include "lockspace/bits.h"

#include <stdatomic.h>
#include <string.h>

/* A block may be this many grains larger than the string asks for. */
#define SLACK 4

struct block {
        uint32_t class;
        uint32_t next; /* offset of the next free block; overlaps the text when in use */
};

static struct block *block_at(char *data, uint32_t offset)
{
        return (struct block *)(void *)(data + offset);
}

void hf_arena_init(struct hf_arena *arena, uint32_t size)
{
        memset(arena, 0, sizeof(*arena));
        arena->size = size;
        arena->used = HF_ARENA_GRAIN;
}

/* What a string of that length takes at least. */
static uint32_t class_of(uint32_t len)
{
        return ((uint32_t)sizeof(uint32_t) + len + 1 + HF_ARENA_GRAIN - 1) / HF_ARENA_GRAIN;
}

static uint32_t take_free(struct hf_arena *arena, char *data, uint32_t class)
{
        for (uint32_t c = class; c < HF_ARENA_CLASSES && c <= class + SLACK; c++) {
                uint32_t offset = arena->free[c];

                if (offset) {
                        arena->free[c] = block_at(data, offset)->next;
                        return offset;
                }
        }
        return 0;
}

uint32_t hf_arena_add(struct hf_arena *arena, char *data, const char *text, uint32_t len)
{
        uint32_t class = class_of(len);
        uint32_t offset;

        if (class >= HF_ARENA_CLASSES)
                return 0;
        offset = take_free(arena, data, class);
        if (!offset) {
                if (arena->size - arena->used < class * HF_ARENA_GRAIN)
                        return 0;
                offset = arena->used;
                block_at(data, offset)->class = class;
                atomic_signal_fence(memory_order_release);
                arena->used += class * HF_ARENA_GRAIN;
        }
        memcpy(data + offset + sizeof(uint32_t), text, len);
        data[offset + sizeof(uint32_t) + len] = '\0';
        return offset + (uint32_t)sizeof(uint32_t);
}

static void put_free(struct hf_arena *arena, char *data, uint32_t offset)
{
        struct block *block = block_at(data, offset);

        block->next = arena->free[block->class];
        arena->free[block->class] = offset;
}

void hf_arena_remove(struct hf_arena *arena, char *data, uint32_t string)
{
        if (string)
                put_free(arena, data, string - (uint32_t)sizeof(uint32_t));
}

uint32_t hf_arena_grains(uint32_t string, uint32_t len, uint32_t *ret_begin)
{
        if (string < HF_ARENA_FIRST || (string - HF_ARENA_FIRST) % HF_ARENA_GRAIN)
                return 0;
        *ret_begin = string / HF_ARENA_GRAIN;
        return class_of(len);
}

void hf_arena_restore_first(char *data)
{
        block_at(data, HF_ARENA_GRAIN)->class = 1;
        data[HF_ARENA_FIRST] = '\0';
}

/* A walk over the blocks, in grains. */
struct walk {
        struct hf_arena *arena;
        char *data;
        uint32_t at;
        uint32_t next; /* string in use behind `at`, or the end */
        uint32_t end;
        uint32_t damaged;
};

static bool is_class(uint32_t class)
{
        return class > 0 && class < HF_ARENA_CLASSES;
}

/* The block of a string in use keeps its class, unless it cannot be that. */
static void pass_used(struct walk *walk, struct block *block)
{
        const char *text = walk->data + walk->at * HF_ARENA_GRAIN + sizeof(uint32_t);
        uint32_t need = class_of((uint32_t)strlen(text));

        if (!is_class(block->class) || block->class < need ||
            block->class > walk->next - walk->at) {
                block->class = need;
                walk->damaged++;
        }
        walk->at += block->class;
}

/*
 * A block that nobody uses is free. Where it is none, all up to the next string
 * in use is made into blocks; behind the last one, nothing was ever used.
 */
static void pass_free(struct walk *walk, struct block *block)
{
        uint32_t room = walk->next - walk->at;

        if (!is_class(block->class) || block->class > room) {
                /* At the end it may be one that was just being made. */
                walk->damaged += walk->next < walk->end || !is_class(block->class);
                if (walk->next == walk->end) {
                        walk->end = walk->at;
                        return;
                }
                block->class = room < HF_ARENA_CLASSES ? room : HF_ARENA_CLASSES - 1;
        }
        put_free(walk->arena, walk->data, walk->at * HF_ARENA_GRAIN);
        walk->at += block->class;
}

uint32_t hf_arena_rebuild(struct hf_arena *arena, char *data, uint32_t size, uint32_t end,
                          const uint64_t *starts, const uint64_t *grains)
{
        uint32_t last = hf_bits_last(grains, (end + HF_ARENA_GRAIN - 1) / HF_ARENA_GRAIN);
        bool damaged = arena->used % HF_ARENA_GRAIN || arena->used < HF_ARENA_GRAIN ||
                       arena->used > size;
        struct walk walk = {.arena = arena, .data = data, .at = 1, .next = 1};

        walk.end = (arena->used < end ? arena->used : end) / HF_ARENA_GRAIN;
        if (walk.end <= last || damaged)
                walk.end = last + 1;
        walk.damaged = damaged;
        memset(arena->free, 0, sizeof(arena->free));
        while (walk.at < walk.end) {
                struct block *block = block_at(data, walk.at * HF_ARENA_GRAIN);

                if (walk.at >= walk.next)
                        walk.next = hf_bits_next(starts, walk.at, walk.end);
                if (walk.at < walk.next) {
                        pass_free(&walk, block);
                } else {
                        walk.next = hf_bits_next(starts, walk.at + 1, walk.end);
                        pass_used(&walk, block);
                }
        }
        arena->size = size;
        arena->used = walk.at * HF_ARENA_GRAIN;
        return walk.damaged;
}
