/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* One call on a connection of the driver, within its deadline. */

#include "driver/lockd/lockd.h"

/* A call of the lock program; its replies have no body. */
#define HF_LOCKD_CALL(number, type, arguments)                                                     \
        {                                                                                          \
                .prog = HF_LOCK_PROGRAM, .vers = HF_LOCK_VERSION, .proc = (number),                \
                .put = (xdrproc_t)xdr_##type, .args = (arguments)                                  \
        }

/* As hf_caller_call; -ETIMEDOUT too when the connection's deadline has passed. */
int hf_lockd_call(struct hf_lockd_connection *connection, const struct hf_call *call,
                  struct hf_error *err);
