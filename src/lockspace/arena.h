/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Strings of a mapping that may move: named by offset, kept in blocks of 16
 * bytes. A freed block is reused for a string of its own size, or of a little
 * less; there is no merging, as names come and go in few sizes.
 */

#include <stdint.h>

#define HF_ARENA_GRAIN 16
/* Longest string with its terminator, in grains: 4096 + 1 bytes and then some. */
#define HF_ARENA_CLASSES 260

struct hf_arena {
        uint32_t size;
        uint32_t used; /* high-water mark */
        uint32_t free[HF_ARENA_CLASSES];
};

/* Lays an empty arena of size bytes over data. Offset 0 is never given out. */
void hf_arena_init(struct hf_arena *arena, uint32_t size);

/* Copies len bytes of text and a terminator. Returns the offset, or 0 when there is no room. */
uint32_t hf_arena_add(struct hf_arena *arena, char *data, const char *text, uint32_t len);

/* Gives a string back; 0 is ignored. */
void hf_arena_remove(struct hf_arena *arena, char *data, uint32_t string);
