/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Strings of a mapping that may move: named by offset, kept in blocks of 16
 * bytes. A freed block is reused for a string of its own size, or of a little
 * less; there is no merging, as names come and go in few sizes.
 *
 * Each block begins with its class, its length in grains, so that blocks can be
 * walked from the first one on. Who writes may be killed at any instruction: the
 * class is there before the high-water mark moves past the block.
 */

#include <stdint.h>

#define HF_ARENA_GRAIN 16U
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

/* The first string of an arena. */
#define HF_ARENA_FIRST (HF_ARENA_GRAIN + (uint32_t)sizeof(uint32_t))

/*
 * The grains from *ret_begin on that a string of len bytes needs. 0: there can
 * be no string at that offset.
 */
uint32_t hf_arena_grains(uint32_t string, uint32_t len, uint32_t *ret_begin);

/* The class of the block that begins with the first string, which is "" from now on. */
void hf_arena_restore_first(char *data);

/*
 * Makes a whole arena again of one whose writer was killed, or which is damaged:
 * of all that is in it only the strings in use are believed. `starts` and
 * `grains` (bits.h, a bit for each grain) say where these begin and which grains
 * they need; all end before `end`, up to where data may be read. Returns how
 * many blocks were wrong. May be killed and run again.
 */
uint32_t hf_arena_rebuild(struct hf_arena *arena, char *data, uint32_t size, uint32_t end,
                          const uint64_t *starts, const uint64_t *grains);
