/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Streams of messages: one call that is never answered, and the messages that come to it for as
 * long as its connection is open. What came is kept until it is whole; nothing here waits but
 * where the caller said so.
 */

#include "client/query.h"

struct hf_stream {
        struct hf_caller *caller; /* the caller's; it is used for nothing else from now on */
        const char *what;         /* who tells: "lock daemon" */
        unsigned int serial;
        int proc; /* of the messages */
        uint8_t *buffer;
        size_t have, room;
        size_t taken; /* of the buffer: the message that was given out */
};

/* A message; the payload is valid until the next one is asked for. */
struct hf_stream_message {
        const uint8_t *payload;
        size_t len;
};

/*
 * Sends the call, on a connection that has nothing else on its way. The stream holds memory from
 * now on, whatever is returned.
 */
int hf_stream_begin(struct hf_stream *stream, int call, xdrproc_t put, const void *args,
                    struct holdfast_error *err);

/*
 * Waits up to timeout_ms (< 0: for ever; an interruption may end it early) for a message: 1 with
 * *ret, 0 when there is none. -ECONNRESET and HOLDFAST_E_NO_DAEMON: the connection is closed.
 */
int hf_stream_next(struct hf_stream *stream, int timeout_ms, struct hf_stream_message *ret,
                   struct holdfast_error *err);

/* What a stream ends with; number is a positive errno. Returns -number. */
int hf_stream_end(const struct hf_stream *stream, int number, struct holdfast_error *err);

/* Frees what it holds; the caller stays open. */
void hf_stream_done(struct hf_stream *stream);
