/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Exchanges: requests and answers on a connection that outlive the server.
 *
 * How many bytes a killed server had received or sent nobody could say, if it
 * had to note that itself: it may be killed between the call and the note. So
 * the kernel notes it: recvmmsg and sendmmsg store the number of bytes in the
 * mmsghdr that they were given, within the same system call, and a SIGKILL acts
 * only when that is over. The mmsghdr lies in the area.
 *
 * A number is never added up in place: what was received is `base` and what the
 * kernel stored, and the next call gets the other of two such records, to
 * which one store of `word` goes over. The same store of `word` is what
 * commits an answer, and what takes a served request away.
 *
 * Before its answer a request may have messages, one after another. A message goes
 * out like an answer, but leaves the request where it is: who finds one sends
 * the rest of it and serves the request from its start. An answer that is ready
 * while a message is on its way is put behind it in the buffer, and is committed at
 * once: both go out as one.
 *
 * The page of an exchange has to be there when the kernel stores into it: lock
 * it in memory.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

enum hf_exchange_word {
        HF_EXCHANGE_IN = 1U << 0,      /* which record of what came in is valid */
        HF_EXCHANGE_OUT = 1U << 1,     /* which record of what went out */
        HF_EXCHANGE_REPLY = 1U << 2,   /* the answer stands; it goes out until all of it has gone */
        HF_EXCHANGE_MESSAGE = 1U << 3, /* a message does; never both */
        HF_EXCHANGE_USER = 1U << 8,    /* this bit and those above are the program's */
};

struct hf_exchange_in {
        uint32_t start; /* of what was not served yet, in the buffer */
        uint64_t base;  /* bytes from there on, before the kernel's count */
        struct iovec iov;
        struct mmsghdr vec;
};

struct hf_exchange_out {
        uint32_t begin; /* of the answer in its buffer: the end of the message before it */
        uint32_t end;   /* of what goes out */
        uint32_t base;  /* bytes that have gone, before the kernel's count */
        struct iovec iov;
        struct mmsghdr vec;
};

/* One connection's. Zeros at first; the buffers are elsewhere. */
struct hf_exchange {
        _Atomic uint32_t word;
        struct hf_exchange_in in[2];
        struct hf_exchange_out out[2];
};

/* The buffer of requests has to have this size, when `kept` bytes of each are looked at. */
#define HF_EXCHANGE_BUFFER(kept) (2 * (kept))

/* Sets and clears the program's bits of the word, in one store. */
void hf_exchange_mark(struct hf_exchange *exchange, uint32_t set, uint32_t clear);

static inline uint32_t hf_exchange_word(const struct hf_exchange *exchange)
{
        return atomic_load_explicit(&exchange->word, memory_order_relaxed);
}

/* An answer stands that has not gone out whole, with or without a message before it. */
static inline bool hf_exchange_replies(const struct hf_exchange *exchange)
{
        return hf_exchange_word(exchange) & HF_EXCHANGE_REPLY;
}

/* A message stands that has not gone out whole, and no answer yet. */
static inline bool hf_exchange_tells(const struct hf_exchange *exchange)
{
        return hf_exchange_word(exchange) & HF_EXCHANGE_MESSAGE;
}

/* The request that is to be served begins here; received() bytes of it, and behind it, are there.
 */
uint8_t *hf_exchange_request(const struct hf_exchange *exchange, uint8_t *buffer);
uint64_t hf_exchange_received(const struct hf_exchange *exchange);

/*
 * Receives more of the request, without waiting. Of a request longer than kept
 * (length says how long it is, as soon as that is known) the rest is dropped.
 * Returns the bytes that came, 0 at the end of the stream, or a negative errno.
 */
ssize_t hf_exchange_receive(struct hf_exchange *exchange, int fd, uint8_t *buffer, size_t kept,
                            uint64_t length);

/* Where in the answer's buffer the answer is to be put: its begin, or the end of a message. */
uint32_t hf_exchange_room(const struct hf_exchange *exchange);

/* Commits the answer of len bytes that is there. */
void hf_exchange_commit(struct hf_exchange *exchange, uint32_t len);

/* Commits the message of len bytes at the buffer's begin, where nothing stands. */
void hf_exchange_tell(struct hf_exchange *exchange, uint32_t len);

/* The message has gone; its request is to be answered still. */
void hf_exchange_told(struct hf_exchange *exchange);

/* Where the next piece of the answer goes, with the descriptors that go with its first byte. */
struct hf_exchange_way {
        int fd;          /* of the connection */
        uint8_t *answer; /* the answer's buffer */
        int attached;    /* a descriptor to be sent along with an answer; -1: none */
};

/*
 * Sends what is left of what stands, without waiting. Returns 1 when all of it has
 * gone, 0 when there is no room, or a negative errno.
 */
int hf_exchange_send(struct hf_exchange *exchange, const struct hf_exchange_way *way);

/* The request of that length is done with, and its answer has gone, if there was one. */
void hf_exchange_consume(struct hf_exchange *exchange, uint8_t *buffer, size_t kept,
                         uint64_t length);
