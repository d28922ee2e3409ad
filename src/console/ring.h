/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The ring: the last bytes that a guest has printed, in memory that outlives the server, with
 * when they came.
 *
 * A position is the number of bytes before it since the beginning; it is never used twice. Readers
 * (clients, the log) have a position each, which is theirs; one that falls out of the ring has
 * missed what lies between.
 *
 * Bytes come from the device by way of a pipe: splice(2) moves them in there, which no SIGKILL can
 * cut in two, and read(2) brings them from the pipe to the head. Before that read the ring notes
 * what the head will be (expect). A server that finds such a note asks the pipe how much is left in
 * it, and so knows how much had been read: nothing is lost, and nothing doubled.
 *
 * Pure: no system calls; struct and bytes are given by the caller, who may have mapped them
 * elsewhere meanwhile. One writer.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

/* Times are noted at most so often, and as many are kept. */
#define HF_RING_MARK_USEC 10000
#define HF_RING_MARKS     4096

struct hf_ring_mark {
        uint64_t position;
        uint64_t usec; /* since the epoch */
};

struct hf_ring {
        uint64_t size; /* of the bytes; a power of two is not needed */
        _Atomic uint64_t head;
        _Atomic uint64_t expected; /* == head: nothing is under way */
        _Atomic uint64_t n_marks;  /* ever made; the last HF_RING_MARKS - 1 of them are here */
        struct hf_ring_mark marks[HF_RING_MARKS];
};

void hf_ring_init(struct hf_ring *ring, size_t size);

/*
 * After a server's death: looks whether it makes sense, without trusting it, and forgets the marks
 * where only they do not. False: it was not sound, or of another size, and is empty now, from
 * position 0 on.
 */
bool hf_ring_check(struct hf_ring *ring, size_t size);

/* Where the next bytes go: one piece or two; at most max bytes. Returns how many pieces. */
int hf_ring_room(const struct hf_ring *ring, uint8_t *bytes, size_t max, struct iovec ret[2]);

/*
 * len bytes are about to be read: all that is in the pipe, at most the ring's size, or a successor
 * could not tell what is left. They have been, at that time.
 */
void hf_ring_expect(struct hf_ring *ring, size_t len);
void hf_ring_arrived(struct hf_ring *ring, uint64_t usec);

/*
 * In a successor, before anything goes into the pipe: so much is in it still. Returns how much of
 * what was expected has come into the ring. Done again, or where nothing was expected, it does
 * nothing.
 */
size_t hf_ring_recover(struct hf_ring *ring, size_t left, uint64_t usec);

/* The oldest position that is kept. */
uint64_t hf_ring_first(const struct hf_ring *ring);
static inline uint64_t hf_ring_head(const struct hf_ring *ring)
{
        return atomic_load_explicit(&ring->head, memory_order_acquire);
}

/*
 * The bytes from a kept position on, in up to two pieces of together at most max bytes. Returns how
 * many pieces; none at the head, and where the position is not kept.
 */
int hf_ring_peek(const struct hf_ring *ring, uint8_t *bytes, uint64_t position, size_t max,
                 struct iovec ret[2]);

/*
 * Where the last n lines begin: the position behind a newline, or the first that is kept. What
 * stands behind the last newline is a line, too.
 */
uint64_t hf_ring_lines(const struct hf_ring *ring, const uint8_t *bytes, uint64_t n);

/*
 * The marks from a position on, first the one in which that position lies, if it is known. Returns
 * how many, at most max; where there are more these are the first ones.
 */
size_t hf_ring_marks(const struct hf_ring *ring, uint64_t position, struct hf_ring_mark *ret,
                     size_t max);
