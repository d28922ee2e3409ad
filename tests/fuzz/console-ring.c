/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Any bytes as the words of a ring that a server left, and then as what happens to it: what a
 * successor does with it stays within its memory, positions never go back, and what a reader gets
 * are the bytes of these positions.
 */

#include "fuzz.h"

#include "console/ring.h"

#include <string.h>

#define SIZE 97

static struct hf_ring ring;
static uint8_t bytes[SIZE];

static uint8_t byte_at(uint64_t position)
{
        return (uint8_t)(position * 31 + position / 251);
}

static void copy_in(size_t len)
{
        struct iovec room[2];
        uint64_t position = hf_ring_head(&ring);
        int n = hf_ring_room(&ring, bytes, len, room);

        for (int i = 0; i < n; i++) {
                uint8_t *at = room[i].iov_base;

                FUZZ_PROMISE(at >= bytes && at + room[i].iov_len <= bytes + SIZE);
                for (size_t j = 0; j < room[i].iov_len; j++)
                        at[j] = byte_at(position++);
        }
        FUZZ_PROMISE(position - hf_ring_head(&ring) == len);
}

static void check_reading(uint64_t from, size_t max, uint64_t written_from)
{
        struct iovec have[2];
        int n = hf_ring_peek(&ring, bytes, from, max, have);
        size_t total = 0;

        for (int i = 0; i < n; i++) {
                const uint8_t *at = have[i].iov_base;

                FUZZ_PROMISE(at >= bytes && at + have[i].iov_len <= bytes + SIZE);
                for (size_t j = 0; j < have[i].iov_len; j++, total++)
                        FUZZ_PROMISE(from + total < written_from || at[j] == byte_at(from + total));
        }
        FUZZ_PROMISE(total <= max && (total == 0 || from + total <= hf_ring_head(&ring)));
}

static void check_marks(uint64_t from)
{
        static struct hf_ring_mark marks[HF_RING_MARKS];
        size_t n = hf_ring_marks(&ring, from, marks, HF_RING_MARKS);

        for (size_t i = 1; i < n; i++)
                FUZZ_PROMISE(marks[i].position >= marks[i - 1].position &&
                             marks[i].position > from);
}

/* One step of a server's, which may be its last. */
static void step(uint8_t what, uint8_t len, uint64_t usec)
{
        size_t under_way = len % (SIZE + 1), left = len / 2 % (under_way + 1);

        hf_ring_expect(&ring, under_way);
        if (what % 4 == 0) {
                copy_in(under_way);
                hf_ring_arrived(&ring, usec);
        } else if (what % 4 == 1) {
                copy_in(under_way);
                FUZZ_PROMISE(hf_ring_check(&ring, SIZE));
                FUZZ_PROMISE(hf_ring_recover(&ring, 0, usec) == under_way);
        } else if (what % 4 == 2) {
                FUZZ_PROMISE(hf_ring_check(&ring, SIZE));
                FUZZ_PROMISE(hf_ring_recover(&ring, under_way, usec) == 0);
        } else {
                copy_in(under_way - left);
                FUZZ_PROMISE(hf_ring_recover(&ring, left, usec) == under_way - left);
                FUZZ_PROMISE(hf_ring_recover(&ring, left, usec) == 0);
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        uint64_t before, begin, usec = 0;
        size_t head = size < 64 ? size : 64;

        memset(&ring, 0, sizeof(ring));
        memset(bytes, 0, sizeof(bytes));
        memcpy(&ring, data, head);
        (void)hf_ring_check(&ring, SIZE);
        (void)hf_ring_recover(&ring, 0, 1);
        begin = hf_ring_head(&ring);
        /* Near the end of all positions the next check finds one that is beyond. */
        if (begin > UINT64_MAX / 8)
                return 0;
        for (size_t at = head; at + 3 <= size; at += 3) {
                before = hf_ring_head(&ring);
                usec += 1000 * (uint64_t)data[at + 2];
                step(data[at], data[at + 1], usec);
                FUZZ_PROMISE(hf_ring_head(&ring) >= before);
                FUZZ_PROMISE(hf_ring_head(&ring) - hf_ring_first(&ring) <= SIZE);
                check_reading(hf_ring_first(&ring) + data[at + 2] % SIZE, data[at + 1], begin);
                FUZZ_PROMISE(hf_ring_lines(&ring, bytes, data[at]) >= hf_ring_first(&ring));
                check_marks(data[at + 1]);
        }
        return 0;
}
