/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What a successor finds.
 *
 * Nothing is under way while head == expected. hf_ring_expect stores expected alone, and
 * hf_ring_arrived then head alone: one store each, so that a SIGKILL finds the ring before or
 * after it. The read between the two takes the bytes out of the pipe in one system call. A
 * successor that finds expected before head therefore asks the pipe: what is left there has not
 * been read, the rest has. It moves head first and expected then; between these two stores
 * expected - head is what is left in the pipe, which makes doing it again come to nothing.
 *
 * While bytes are under way the places that they go to are not read any more: the oldest position
 * is counted from expected.
 *
 * A mark is in its place before n_marks says so. Its place is that of the oldest one, which for
 * that moment is neither the old nor the new: so one less than there is room for is believed.
 */

#include "console/ring.h"

#include <string.h>

/* Beyond this a position is nonsense: ten thousand years of a busy console. */
#define POSITION_MAX (UINT64_MAX / 4)

static uint64_t load(const _Atomic uint64_t *word)
{
        return atomic_load_explicit(word, memory_order_acquire);
}

static void store(_Atomic uint64_t *word, uint64_t value)
{
        atomic_store_explicit(word, value, memory_order_release);
}

void hf_ring_init(struct hf_ring *ring, size_t size)
{
        store(&ring->n_marks, 0);
        store(&ring->head, 0);
        store(&ring->expected, 0);
        ring->size = size;
}

/* How many marks can be believed, and the mark that is the i-th of these. */
static uint64_t marks_kept(const struct hf_ring *ring)
{
        uint64_t n = load(&ring->n_marks);

        return n < HF_RING_MARKS - 1 ? n : HF_RING_MARKS - 1;
}

static const struct hf_ring_mark *mark_at(const struct hf_ring *ring, uint64_t i)
{
        return &ring->marks[(load(&ring->n_marks) - marks_kept(ring) + i) % HF_RING_MARKS];
}

static bool marks_make_sense(const struct hf_ring *ring)
{
        uint64_t n = marks_kept(ring), last = 0;

        for (uint64_t i = 0; i < n; i++) {
                uint64_t position = mark_at(ring, i)->position;

                if (position < last || position > load(&ring->head))
                        return false;
                last = position;
        }
        return true;
}

bool hf_ring_check(struct hf_ring *ring, size_t size)
{
        uint64_t head = load(&ring->head), expected = load(&ring->expected);

        if (ring->size != size || size == 0 || head > POSITION_MAX || expected < head ||
            expected - head > size) {
                hf_ring_init(ring, size);
                return false;
        }
        if (load(&ring->n_marks) > POSITION_MAX || !marks_make_sense(ring))
                store(&ring->n_marks, 0);
        return true;
}

/* The len bytes at a position, in one piece or two. */
static int pieces(const struct hf_ring *ring, uint8_t *bytes, uint64_t position, size_t len,
                  struct iovec ret[2])
{
        size_t at = position % ring->size, to_end = ring->size - at;

        if (len == 0)
                return 0;
        ret[0] = (struct iovec){.iov_base = bytes + at, .iov_len = len < to_end ? len : to_end};
        if (len <= to_end)
                return 1;
        ret[1] = (struct iovec){.iov_base = bytes, .iov_len = len - to_end};
        return 2;
}

int hf_ring_room(const struct hf_ring *ring, uint8_t *bytes, size_t max, struct iovec ret[2])
{
        return pieces(ring, bytes, load(&ring->head), max < ring->size ? max : ring->size, ret);
}

void hf_ring_expect(struct hf_ring *ring, size_t len)
{
        store(&ring->expected, load(&ring->head) + len);
}

/* Bytes from the head on came at that time. */
static void mark(struct hf_ring *ring, uint64_t usec)
{
        uint64_t n = load(&ring->n_marks), head = load(&ring->head);

        if (n > 0) {
                const struct hf_ring_mark *last = &ring->marks[(n - 1) % HF_RING_MARKS];

                /* The same place again: who made that mark was killed before the head moved. */
                if (last->position == head)
                        return;
                if (usec >= last->usec && usec - last->usec < HF_RING_MARK_USEC)
                        return;
        }
        ring->marks[n % HF_RING_MARKS] = (struct hf_ring_mark){.position = head, .usec = usec};
        store(&ring->n_marks, n + 1);
}

void hf_ring_arrived(struct hf_ring *ring, uint64_t usec)
{
        uint64_t expected = load(&ring->expected);

        if (expected == load(&ring->head))
                return;
        mark(ring, usec);
        store(&ring->head, expected);
}

size_t hf_ring_recover(struct hf_ring *ring, size_t left, uint64_t usec)
{
        uint64_t head = load(&ring->head), under_way = load(&ring->expected) - head;
        uint64_t arrived = left < under_way ? under_way - left : 0;

        if (arrived > 0) {
                mark(ring, usec);
                store(&ring->head, head + arrived);
        }
        store(&ring->expected, head + arrived);
        return arrived;
}

uint64_t hf_ring_first(const struct hf_ring *ring)
{
        uint64_t end = load(&ring->expected);

        return end > ring->size ? end - ring->size : 0;
}

int hf_ring_peek(const struct hf_ring *ring, uint8_t *bytes, uint64_t position, size_t max,
                 struct iovec ret[2])
{
        uint64_t head = load(&ring->head);

        if (position < hf_ring_first(ring) || position >= head)
                return 0;
        return pieces(ring, bytes, position, head - position < max ? head - position : max, ret);
}

/* The position behind the last newline of those in [from, to), or `from`. */
static uint64_t line_begin(const struct hf_ring *ring, const uint8_t *bytes, uint64_t from,
                           uint64_t to)
{
        while (to > from) {
                size_t end = (to - 1) % ring->size + 1;
                size_t len = to - from < end ? to - from : end;
                const uint8_t *newline = memrchr(bytes + end - len, '\n', len);

                if (newline)
                        return to - end + (size_t)(newline - bytes) + 1;
                to -= len;
        }
        return from;
}

uint64_t hf_ring_lines(const struct hf_ring *ring, const uint8_t *bytes, uint64_t n)
{
        uint64_t first = hf_ring_first(ring), at = load(&ring->head);

        if (first >= at)
                return at;
        if (n > 0 && bytes[(at - 1) % ring->size] == '\n')
                at = line_begin(ring, bytes, first, at - 1);
        else if (n > 0)
                at = line_begin(ring, bytes, first, at);
        for (; n > 1 && at > first; n--)
                at = line_begin(ring, bytes, first, at - 1);
        return at;
}

size_t hf_ring_marks(const struct hf_ring *ring, uint64_t position, struct hf_ring_mark *ret,
                     size_t max)
{
        uint64_t n = marks_kept(ring), low = 0, high = n;
        size_t count = 0;

        /* The first one behind the position. */
        while (low < high) {
                uint64_t middle = low + (high - low) / 2;

                if (mark_at(ring, middle)->position > position)
                        high = middle;
                else
                        low = middle + 1;
        }
        for (uint64_t i = low > 0 ? low - 1 : 0; i < n && count < max; i++)
                ret[count++] = *mark_at(ring, i);
        return count;
}
