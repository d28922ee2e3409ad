/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The calling side: one connection, one call at a time, with a deadline.
 *
 * Used by drivers, the library and the command. A caller owns its socket until
 * that is taken out of it; a call that fails half-way (deadline, bad frame)
 * leaves the connection unusable, and every later call says so.
 */

#include "base/cleanup.h"
#include "rpc/message.h"

#include <stdbool.h>
#include <sys/types.h>

/*
 * Longest a lock call may take where the caller sets nothing. Stock lockd.so
 * waits for ever; a daemon that does not answer for half a minute is broken.
 */
#define HF_RPC_TIMEOUT_MS 30000

struct hf_caller {
        int fd;
        unsigned int serial;
        int timeout_ms;   /* per call; < 0: none */
        char *path;       /* of the socket, for messages */
        const char *what; /* who is there, for messages; NULL: "lock daemon" */
};

/* A caller that is not connected; done with it is harmless. */
#define HF_CALLER_INIT                                                                             \
        {                                                                                          \
                .fd = -1, .timeout_ms = HF_RPC_TIMEOUT_MS                                          \
        }

/*
 * Connects to the socket at path, within timeout_ms. -ETIMEDOUT: a daemon that
 * takes no more connections. Where there is none, hf_caller_found_nobody knows.
 */
int hf_caller_connect(struct hf_caller *caller, const char *path, struct hf_error *err);

/* Whether hf_caller_connect returned r because no daemon is there. */
bool hf_caller_found_nobody(int r);

/* Closes and frees what the caller holds. */
void hf_caller_done(struct hf_caller *caller);

struct hf_call {
        unsigned int prog;
        unsigned int vers;
        int proc;
        xdrproc_t put; /* NULL: no arguments */
        const void *args;
        xdrproc_t get; /* NULL: the reply has no body */
        void *ret;     /* zeroed; freed by the caller with hf_rpc_free */
        int *ret_fd;   /* a descriptor that came with the reply, or -1; NULL: none is wanted */
        /*
         * Gets each message of the call's program and serial that comes before the answer:
         * its procedure, and its payload, for hf_rpc_get_payload. NULL: nobody wants them.
         * It must not use the caller.
         */
        void (*message)(void *ctx, int proc, const uint8_t *payload, size_t len);
        void *message_ctx;
};

/*
 * Sends a call and waits for its answer. An error answer is returned as
 * hf_rpc_get_error does. -ETIMEDOUT when the deadline passed, -ECONNRESET when
 * the daemon closed the connection. *ret_fd is set on success only, and
 * close-on-exec. The deadline is the same however many messages come.
 */
int hf_caller_call(struct hf_caller *caller, const struct hf_call *call, struct hf_error *err);

#define hf_cleanup_caller hf_cleanup(hf_caller_done)
