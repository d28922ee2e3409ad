/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lockspace/arena.h"

#include <string.h>

/* A block may be this many grains larger than the string asks for. */
#define SLACK 4

/* Each block begins with its class, so that it can be given back whole. */
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
        uint32_t need = (uint32_t)sizeof(uint32_t) + len + 1;
        uint32_t class = (need + HF_ARENA_GRAIN - 1) / HF_ARENA_GRAIN;
        uint32_t offset;

        if (class >= HF_ARENA_CLASSES)
                return 0;
        offset = take_free(arena, data, class);
        if (!offset) {
                if (arena->size - arena->used < class * HF_ARENA_GRAIN)
                        return 0;
                offset = arena->used;
                arena->used += class * HF_ARENA_GRAIN;
                block_at(data, offset)->class = class;
        }
        memcpy(data + offset + sizeof(uint32_t), text, len);
        data[offset + sizeof(uint32_t) + len] = '\0';
        return offset + (uint32_t)sizeof(uint32_t);
}

void hf_arena_remove(struct hf_arena *arena, char *data, uint32_t string)
{
        uint32_t offset = string - (uint32_t)sizeof(uint32_t);
        struct block *block;

        if (!string)
                return;
        block = block_at(data, offset);
        block->next = arena->free[block->class];
        arena->free[block->class] = offset;
}
