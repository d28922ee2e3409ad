/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the files of the HOLDFAST program share. */

#include "daemon/dispatch.h"
#include "rpc/holdfast.h"
#include "storage/record.h"

/*
 * A page is filled up to this size; then what is left of the answer slot has
 * room for the largest entry: two paths, a VM name and the fixed fields.
 */
#define HF_PAGE_FULL (HF_SESSION_ANSWER_MAX - 32 * 1024)

/* The strings of what these fill in belong to the table, or to the record; nothing is to be freed.
 */
void hf_wire_owner(struct hf_server *server, uint32_t owner, struct hf_holdfast_owner *ret);
void hf_wire_lock(struct hf_server *server, uint32_t hold, struct hf_holdfast_lock *ret);
void hf_wire_record(const struct hf_record *record, struct hf_holdfast_record *ret);

/* What stands against a request: a hold of the table, or 0, and what a record says, or NULL. */
struct hf_wire_obstacle {
        struct hf_holdfast_lock *holder;      /* of the call's answer; NULL: there is none */
        struct hf_holdfast_record *elsewhere; /* the same */
        struct hf_holdfast_lock lock;
        struct hf_holdfast_record record;
};

void hf_wire_obstacle(struct hf_server *server, uint32_t hold, const struct hf_record *record,
                      struct hf_wire_obstacle *ret);

/* The next hold that somebody has: not one that is only being acquired with others. */
uint32_t hf_wire_next_hold(struct hf_server *server, uint32_t after);

/* set-program.c */
int hf_call_acquire_set(struct hf_session *session, const void *args, struct hf_error *err);
int hf_call_release_set(struct hf_session *session, const void *args, struct hf_error *err);
int hf_call_list_waiters(struct hf_session *session, const void *args, struct hf_error *err);
