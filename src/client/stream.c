/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "client/stream.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "rpc/errors.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

/* Largest message that a daemon has: its whole answer slot, and room for a later one's. */
#define MESSAGE_MAX (1024 * 1024)

/* Received at once. */
#define PIECE 65536

void hf_stream_done(struct hf_stream *stream)
{
        free(stream->buffer);
        stream->buffer = NULL;
        stream->have = stream->room = stream->taken = 0;
}

static int64_t now_ms(void)
{
        return hf_clock_msec(CLOCK_MONOTONIC);
}

int hf_stream_end(const struct hf_stream *stream, int number, struct holdfast_error *err)
{
        const char *path = stream->caller->path;

        if (number == ECONNRESET || number == EPIPE || number == ENOTCONN)
                return hf_fail(err, ECONNRESET, HOLDFAST_E_NO_DAEMON,
                               "the %s at %s has closed the connection", stream->what, path);
        return hf_fail(err, number, HOLDFAST_E_PROTOCOL, "cannot listen to the %s at %s: %s",
                       stream->what, path, strerrordesc_np(number));
}

/* The daemon has answered, which it does only to refuse. */
static int refused(const struct hf_stream *stream, const uint8_t *payload, size_t len,
                   const struct hf_rpc_header *header, struct holdfast_error *err)
{
        struct hf_error error = {0};
        int r = -EBADMSG;

        if (header->status == HF_RPC_ERROR)
                r = hf_rpc_get_error(payload, len, &error);
        if (*error.text)
                return hf_fail_from(err, r, &error);
        return hf_fail(err, EBADMSG, HOLDFAST_E_PROTOCOL, "the %s has ended the stream of messages",
                       stream->what);
}

/* Whether a whole message is one that was asked for: 1 with *ret, else 0. */
static int look_at(const struct hf_stream *stream, size_t length, struct hf_stream_message *ret,
                   struct holdfast_error *err)
{
        const uint8_t *payload = stream->buffer + HF_RPC_HEADER_SIZE;
        size_t len = length - HF_RPC_HEADER_SIZE;
        struct hf_rpc_header header;

        hf_rpc_get_header(stream->buffer, &header);
        if (header.prog != HF_HOLDFAST_PROGRAM || header.serial != stream->serial)
                return 0;
        if (header.type == HF_RPC_REPLY)
                return refused(stream, payload, len, &header, err);
        if (header.type != HF_RPC_MESSAGE || header.proc != stream->proc)
                return 0;
        *ret = (struct hf_stream_message){payload, len};
        return 1;
}

static void drop_taken(struct hf_stream *stream)
{
        if (stream->taken == 0)
                return;
        stream->have -= stream->taken;
        memmove(stream->buffer, stream->buffer + stream->taken, stream->have);
        stream->taken = 0;
}

/* Takes the next of the messages that are there as a whole: 1 with *ret, else 0. */
static int take_next(struct hf_stream *stream, struct hf_stream_message *ret,
                     struct holdfast_error *err)
{
        int r = 0;

        while (r == 0) {
                int64_t length;

                drop_taken(stream);
                length = stream->have < HF_RPC_LENGTH_SIZE ? 0 : hf_rpc_length(stream->buffer);
                if (length < 0 || length > MESSAGE_MAX)
                        return hf_stream_end(stream, EBADMSG, err);
                if (length == 0 || stream->have < (size_t)length)
                        return 0;
                r = look_at(stream, (size_t)length, ret, err);
                stream->taken = (size_t)length;
        }
        return r;
}

/* Returns the bytes that came, 0 when there are none now, or a negative errno. */
static int receive(struct hf_stream *stream, struct holdfast_error *err)
{
        ssize_t n;

        if (stream->room - stream->have < PIECE) {
                size_t room = stream->room + 2 * (size_t)PIECE;
                uint8_t *more = realloc(stream->buffer, room);

                if (!more)
                        return hf_fail_no_memory(err);
                stream->buffer = more;
                stream->room = room;
        }
        do
                n = recv(stream->caller->fd, stream->buffer + stream->have, PIECE, MSG_DONTWAIT);
        while (n < 0 && errno == EINTR);
        if (n < 0)
                return errno == EAGAIN ? 0 : hf_stream_end(stream, errno, err);
        if (n == 0)
                return hf_stream_end(stream, ECONNRESET, err);
        stream->have += (size_t)n;
        return (int)n;
}

/* Returns 1 when something can be read, 0 when time is up. */
static int wait_for(const struct hf_stream *stream, int64_t deadline)
{
        struct pollfd poller = {.fd = stream->caller->fd, .events = POLLIN};
        int64_t left = deadline < 0 ? -1 : deadline - now_ms();

        if (deadline >= 0 && left <= 0)
                return 0;
        /* An interruption is like bytes that did not come. */
        return poll(&poller, 1, (int)left) != 0;
}

int hf_stream_next(struct hf_stream *stream, int timeout_ms, struct hf_stream_message *ret,
                   struct holdfast_error *err)
{
        int64_t deadline = timeout_ms < 0 ? -1 : now_ms() + timeout_ms;
        int r;

        for (;;) {
                r = take_next(stream, ret, err);
                if (r != 0)
                        return r;
                r = receive(stream, err);
                if (r < 0)
                        return r;
                if (r == 0 && !wait_for(stream, deadline))
                        return 0;
        }
}

int hf_stream_begin(struct hf_stream *stream, int call, xdrproc_t put, const void *args,
                    struct holdfast_error *err)
{
        struct hf_rpc_header header = {
                .prog = HF_HOLDFAST_PROGRAM,
                .vers = HF_HOLDFAST_VERSION,
                .proc = call,
                .type = HF_RPC_CALL,
                .serial = stream->caller->serial++,
        };
        uint8_t message[HF_RPC_HEADER_SIZE + 16];
        int len = hf_rpc_put(message, sizeof(message), &header, put, args);

        stream->serial = header.serial;
        if (len < 0)
                return hf_stream_end(stream, -len, err);
        /* Nothing else is on its way there: so little always fits. */
        if (send(stream->caller->fd, message, (size_t)len, MSG_NOSIGNAL | MSG_DONTWAIT) != len)
                return hf_stream_end(stream, errno, err);
        return 0;
}
