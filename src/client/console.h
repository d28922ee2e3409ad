/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Consoles, inside: connections to holdfast-consoled, and its structures as public ones.
 *
 * An attachment has two connections: the one that attached, on which notices come and whose end
 * is the attachment's, and one for calls, opened when the first is made.
 */

#include "client/stream.h"
#include "rpc/console.h"

#include <holdfast/console.h>
#include <stdbool.h>

/* Room for "anna (pid 4711, from 10.0.0.5, since 10:04, idle 2 min, holdfast console)". */
#define HF_CONSOLE_WHO_MAX 768

/* A console of the daemon's as a public one. Strings stay the entry's. */
struct hf_console_view {
        struct holdfast_console_info info;
        struct holdfast_console_client *clients;
        struct holdfast_console_stranger *strangers;
};

struct holdfast_console {
        struct hf_query query; /* has attached; notices come here */
        struct hf_stream notices;
        struct hf_query calls; /* fd < 0: not open yet */
        char *via;
        int fd;
        struct hf_console_attach_ret answer;
        struct hf_console_view view;
        uint64_t last_notice;
        struct hf_console_notice notice; /* the one that was given out */
        struct holdfast_console_client client;
        struct holdfast_console_stranger stranger;
};

/* ---- console-reach.c -------------------------------------------------------------------- */

/*
 * Connects to this user's daemon and greets; start: it is started where it does not run, and is
 * not the system's. HOLDFAST_E_NO_DAEMON when nobody answers.
 */
int hf_console_reach(struct hf_query *query, const char *via, bool start,
                     struct holdfast_error *err);

/*
 * To the system's, for a user who has another one. Returns whether it is open; by the read-only
 * socket at once where read_only.
 */
bool hf_console_reach_system(struct hf_query *query, const char *via, bool read_only);

/* To the daemon of an open connection once more. */
int hf_console_reach_again(struct hf_query *query, const struct hf_query *like, const char *via,
                           struct holdfast_error *err);

/* What the caller is called where it does not say. */
const char *hf_console_via(const char *via);

/* ---- console-info.c --------------------------------------------------------------------- */

/* -ENOMEM. Clear it with hf_console_view_clear. */
int hf_console_view_fill(struct hf_console_view *view, const struct hf_console_entry *from,
                         struct holdfast_error *err);
void hf_console_view_clear(struct hf_console_view *view);

void hf_console_fill_client(struct holdfast_console_client *client,
                            const struct hf_console_client *from);
void hf_console_fill_stranger(struct holdfast_console_stranger *stranger,
                              const struct hf_console_stranger *from);

/* In words; times are local. Returns text. */
char *hf_console_who(const struct hf_console_client *client, char text[static HF_CONSOLE_WHO_MAX]);

/* Why a wish to write was refused; returns -EBUSY. Any pointer may be NULL. */
int hf_console_refuse(const char *name, const struct hf_console_client *writer,
                      const struct hf_console_stranger *stranger, const char *text,
                      struct holdfast_error *err);
