/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Asking the daemon: a greeted connection to holdfastd, by whichever of its
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
