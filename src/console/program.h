/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The HOLDFAST program as it is served here: the procedures, and who may call them. */

#include "console/server.h"
#include "rpc/console.h"

/* What a procedure returns when it did not fail. */
enum hf_con_outcome {
        HF_CON_DONE = 0,     /* success without a body: dispatch answers */
        HF_CON_ANSWERED = 1, /* the procedure has answered */
        HF_CON_WAIT = 2,     /* it is to be called again, from its start, when something has
                                happened */
        HF_CON_LISTEN = 3,   /* it is never answered */
};

/* Serves session->call with its payload. */
void hf_con_dispatch(struct hf_con_session *session, const uint8_t *payload, size_t len);

/* The procedures of other files. */
int hf_con_list(struct hf_con_session *session, const void *args, struct hf_error *err);
int hf_con_attach(struct hf_con_session *session, const void *args, struct hf_error *err);
int hf_con_act(struct hf_con_session *session, const void *args, struct hf_error *err);

/* What the answers to them commit to. */
void hf_con_attach_carry_out(struct hf_con_session *session);

/* As the wire has them. What they point to is the callee's. */
void hf_con_put_client(const struct hf_con_who *who, struct hf_console_client *ret);
void hf_con_put_stranger(const struct hf_intruder *intruder, struct hf_console_stranger *ret);

/* clients and strangers: room for HF_CONSOLE_CLIENTS_MAX, HF_INTRUDERS_MAX. */
struct hf_con_entry_room {
        struct hf_con_who who[HF_CONSOLE_CLIENTS_MAX];
        struct hf_console_client clients[HF_CONSOLE_CLIENTS_MAX];
        struct hf_console_stranger strangers[HF_INTRUDERS_MAX];
        char log_text[128];
};
void hf_con_put_entry(struct hf_console *console, struct hf_con_entry_room *room,
                      struct hf_console_entry *ret);
