/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Asking a daemon: a greeted connection to holdfastd, or another one of ours, by whichever of its
 * sockets lets us in, and lists that come in pages.
 */

#include "client/client.h"
#include "rpc/caller.h"
#include "rpc/holdfast.h"

#include <stdbool.h>

struct hf_query {
        struct hf_caller caller;
        bool read_only;
        struct hf_holdfast_hello_ret hello;
};

#define HF_QUERY_INIT                                                                              \
        {                                                                                          \
                .caller = HF_CALLER_INIT                                                           \
        }

/*
 * Connects and greets. HOLDFAST_E_NO_DAEMON when nobody answers,
 * HOLDFAST_E_UNSUPPORTED when only a stock virtlockd does.
 */
int hf_query_open(struct hf_query *query, struct holdfast_error *err);

/* A daemon: what it is called, and where. */
struct hf_query_place {
        const char *what; /* "lock daemon" */
        const char *via;  /* who we say that we are */
        const char *socket, *socket_ro;
};

/*
 * Connects to one of them and greets. HOLDFAST_E_NO_DAEMON when nobody answers; query->read_only
 * tells by which socket.
 */
int hf_query_open_place(struct hf_query *query, const struct hf_query_place *place,
                        struct holdfast_error *err);

/*
 * The system's daemon, for a user who has another one: by its read-only socket,
 * where the administrator lets this user look. Returns whether it is open.
 */
bool hf_query_open_system(struct hf_query *query);

void hf_query_done(struct hf_query *query);

#define hf_cleanup_query hf_cleanup(hf_query_done)

/* One call of the HOLDFAST program. */
int hf_query_call(struct hf_query *query, int proc, xdrproc_t put, const void *args, xdrproc_t get,
                  void *ret, struct holdfast_error *err);
