/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "keeper/receipt.h"

#include <errno.h>
#include <string.h>

/* What is dropped of a long request goes here, at most so much at once. */
#define SURPLUS_SIZE 65536

/* The one store; all that it stands for is stored before it. */
static void store_word(struct hf_exchange *exchange, uint32_t word)
{
        atomic_signal_fence(memory_order_seq_cst);
        atomic_store_explicit(&exchange->word, word, memory_order_release);
        atomic_signal_fence(memory_order_seq_cst);
}

void hf_exchange_mark(struct hf_exchange *exchange, uint32_t set, uint32_t clear)
{
        store_word(exchange, (hf_exchange_word(exchange) & ~clear) | set);
}

/* Which records are valid; the others are filled before the word goes over to them. */
static unsigned int in_index(const struct hf_exchange *exchange)
{
        return hf_exchange_word(exchange) & HF_EXCHANGE_IN ? 1 : 0;
}

static unsigned int out_index(const struct hf_exchange *exchange)
{
        return hf_exchange_word(exchange) & HF_EXCHANGE_OUT ? 1 : 0;
}

uint8_t *hf_exchange_request(const struct hf_exchange *exchange, uint8_t *buffer)
{
        return buffer + exchange->in[in_index(exchange)].start;
}

uint64_t hf_exchange_received(const struct hf_exchange *exchange)
{
        const struct hf_exchange_in *in = &exchange->in[in_index(exchange)];

        return in->base + in->vec.msg_len;
}

/* The record for the next call: one in which the kernel has counted nothing yet. */
static struct hf_exchange_in *fresh_in(struct hf_exchange *exchange)
{
        unsigned int index = in_index(exchange);
        struct hf_exchange_in *in = &exchange->in[index], *next = &exchange->in[!index];

        if (in->vec.msg_len == 0)
                return in;
        next->start = in->start;
        next->base = in->base + in->vec.msg_len;
        next->vec.msg_len = 0;
        store_word(exchange, hf_exchange_word(exchange) ^ HF_EXCHANGE_IN);
        return next;
}

ssize_t hf_exchange_receive(struct hf_exchange *exchange, int fd, uint8_t *buffer, size_t kept,
                            uint64_t length)
{
        struct hf_exchange_in *in = fresh_in(exchange);
        uint8_t surplus[SURPLUS_SIZE];

        if (in->base < kept) {
                in->iov.iov_base = buffer + in->start + in->base;
                in->iov.iov_len = kept - (size_t)in->base;
        } else {
                in->iov.iov_base = surplus;
                in->iov.iov_len = length - in->base < sizeof(surplus) ? (size_t)(length - in->base)
                                                                      : sizeof(surplus);
        }
        in->vec.msg_hdr = (struct msghdr){.msg_iov = &in->iov, .msg_iovlen = 1};
        if (recvmmsg(fd, &in->vec, 1, MSG_DONTWAIT, NULL) < 0)
                return -errno;
        return in->vec.msg_len;
}

uint32_t hf_exchange_room(const struct hf_exchange *exchange)
{
        return hf_exchange_tells(exchange) ? exchange->out[out_index(exchange)].end : 0;
}

/* What stands is the rest of a message, if there is one, and len bytes behind it. */
static void stand(struct hf_exchange *exchange, uint32_t len, uint32_t bit)
{
        const struct hf_exchange_out *out = &exchange->out[out_index(exchange)];
        struct hf_exchange_out *next = &exchange->out[!out_index(exchange)];
        uint32_t word = hf_exchange_word(exchange);

        next->begin = hf_exchange_room(exchange);
        next->end = next->begin + len;
        next->base = hf_exchange_tells(exchange) ? out->base + out->vec.msg_len : 0;
        next->vec.msg_len = 0;
        store_word(exchange, ((word ^ HF_EXCHANGE_OUT) & ~(uint32_t)HF_EXCHANGE_MESSAGE) | bit);
}

void hf_exchange_commit(struct hf_exchange *exchange, uint32_t len)
{
        stand(exchange, len, HF_EXCHANGE_REPLY);
}

void hf_exchange_tell(struct hf_exchange *exchange, uint32_t len)
{
        stand(exchange, len, HF_EXCHANGE_MESSAGE);
}

void hf_exchange_told(struct hf_exchange *exchange)
{
        store_word(exchange, hf_exchange_word(exchange) & ~(uint32_t)HF_EXCHANGE_MESSAGE);
}

static struct hf_exchange_out *fresh_out(struct hf_exchange *exchange)
{
        unsigned int index = out_index(exchange);
        struct hf_exchange_out *out = &exchange->out[index], *next = &exchange->out[!index];

        if (out->vec.msg_len == 0)
                return out;
        next->begin = out->begin;
        next->end = out->end;
        next->base = out->base + out->vec.msg_len;
        next->vec.msg_len = 0;
        store_word(exchange, hf_exchange_word(exchange) ^ HF_EXCHANGE_OUT);
        return next;
}

static int send_piece(struct hf_exchange_out *out, const struct hf_exchange_way *way)
{
        union {
                struct cmsghdr header;
                char space[CMSG_SPACE(sizeof(int))];
        } control = {.header = {.cmsg_len = CMSG_LEN(sizeof(int)),
                                .cmsg_level = SOL_SOCKET,
                                .cmsg_type = SCM_RIGHTS}};

        uint32_t end = out->end;

        /* Where a descriptor goes with the answer, the message before it goes by itself. */
        if (way->attached >= 0 && out->base < out->begin)
                end = out->begin;
        out->iov = (struct iovec){way->answer + out->base, end - out->base};
        out->vec.msg_hdr = (struct msghdr){.msg_iov = &out->iov, .msg_iovlen = 1};
        if (way->attached >= 0 && out->base == out->begin) {
                memcpy(CMSG_DATA(&control.header), &way->attached, sizeof(int));
                out->vec.msg_hdr.msg_control = &control;
                out->vec.msg_hdr.msg_controllen = sizeof(control.space);
        }
        return sendmmsg(way->fd, &out->vec, 1, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -errno : 0;
}

int hf_exchange_send(struct hf_exchange *exchange, const struct hf_exchange_way *way)
{
        for (;;) {
                struct hf_exchange_out *out = fresh_out(exchange);
                int r;

                if (out->base >= out->end)
                        return 1;
                r = send_piece(out, way);
                if (r < 0 && r != -EINTR)
                        return r == -EAGAIN ? 0 : r;
        }
}

void hf_exchange_consume(struct hf_exchange *exchange, uint8_t *buffer, size_t kept,
                         uint64_t length)
{
        unsigned int index = in_index(exchange);
        const struct hf_exchange_in *in = &exchange->in[index];
        struct hf_exchange_in *next = &exchange->in[!index];
        uint64_t left = in->base + in->vec.msg_len - length, start = in->start + length;

        /* Both ends of the buffer have room for `kept` bytes, so the two never overlap. */
        if (left == 0) {
                start = 0;
        } else if (start > kept) {
                memcpy(buffer, buffer + start, (size_t)left);
                start = 0;
        }
        next->start = (uint32_t)start;
        next->base = left;
        next->vec.msg_len = 0;
        store_word(exchange,
                   (hf_exchange_word(exchange) ^ HF_EXCHANGE_IN) & ~(uint32_t)HF_EXCHANGE_REPLY);
}
