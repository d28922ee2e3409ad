/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Sets of small numbers, a bit for each. */

#include <stdbool.h>
#include <stdint.h>

#define HF_BITS_WORDS(n) (((size_t)(n) + 63) / 64)

static inline bool hf_bits_has(const uint64_t *bits, uint32_t i)
{
        return bits[i / 64] >> i % 64 & 1;
}

static inline void hf_bits_add(uint64_t *bits, uint32_t i)
{
        bits[i / 64] |= UINT64_C(1) << i % 64;
}

static inline void hf_bits_drop(uint64_t *bits, uint32_t i)
{
        bits[i / 64] &= ~(UINT64_C(1) << i % 64);
}

/* The first number from `from` on, below end, that is in the set; end: there is none. */
static inline uint32_t hf_bits_next(const uint64_t *bits, uint32_t from, uint32_t end)
{
        while (from < end) {
                uint64_t word = bits[from / 64] >> from % 64;

                if (word) {
                        from += (uint32_t)__builtin_ctzll(word);
                        break;
                }
                from += 64 - from % 64;
        }
        return from < end ? from : end;
}

/* The highest number below end that is in the set, or 0. */
static inline uint32_t hf_bits_last(const uint64_t *bits, uint32_t end)
{
        while (end > 0) {
                uint32_t i = end - 1;
                uint64_t word = bits[i / 64] << (63 - i % 64);

                if (word)
                        return i - (uint32_t)__builtin_clzll(word);
                end = i - i % 64;
        }
        return 0;
}
