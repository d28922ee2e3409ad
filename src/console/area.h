/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The area: what the next server has to know, in memory that outlives this one
 * (keeper/keeper.h). It says what each descriptor is.
 *
 *   header | sessions with their buffers | consoles, each with the bytes of its ring
 *
 * What was never touched costs no memory. It has one writer, the server. A record is valid by one
 * store, which comes last: a session's by its word, a console's by its id, a client's by
 * its token. A number is taken out of the area before its descriptor is closed: one that is
 * not found there is an orphan, and closed by the next server.
 */

#include "console/config.h"
#include "console/console.h"
#include "console/link.h"
#include "console/session.h"

/* Of the layout: with every change another one. */
#define HF_CON_STATE_VERSION 1U

#define HF_CON_LISTENERS_MAX 8

struct hf_con_listener_record {
        int32_t fd;
        uint32_t name; /* in the table of names in listener.c */
        char path[sizeof(((struct sockaddr_un *)NULL)->sun_path)]; /* "": it was passed in */
};

struct hf_con_session_slot {
        _Alignas(4096) struct hf_con_session session;
        _Alignas(4096) uint8_t request[HF_EXCHANGE_BUFFER(HF_CON_REQUEST_KEPT)];
        _Alignas(4096) uint8_t answer[HF_CON_ANSWER_MAX];
};

struct hf_con_area {
        _Atomic uint32_t complete; /* the rest is true */
        int32_t pid_fd, report_fd;
        uint64_t next_session, next_console;
        uint32_t n_listeners;
        struct hf_con_listener_record listeners[HF_CON_LISTENERS_MAX];
        struct hf_con_link_record links[HF_CON_LINKS];
        uint64_t scrollback; /* bytes of each ring */
        uint32_t n_slots, n_touched;
        uint32_t n_consoles, n_consoles_touched;
        struct hf_con_session_slot slots[];
};

size_t hf_con_area_size(const struct hf_con_config *config);

/* An empty area in zeros, for that configuration. */
void hf_con_area_init(struct hf_con_area *area, const struct hf_con_config *config);

/* Corrects what a server that crashed may have stored of its numbers. False: it is none of ours. */
bool hf_con_area_check(struct hf_con_area *area, size_t size);

struct hf_console *hf_con_area_console(struct hf_con_area *area, uint32_t index);
uint8_t *hf_con_area_bytes(struct hf_con_area *area, uint32_t index);

void hf_con_area_complete(struct hf_con_area *area);
bool hf_con_area_is_complete(const struct hf_con_area *area);

/* Every number in it. */
void hf_con_area_each_fd(struct hf_con_area *area, void (*each)(void *data, int fd), void *data);
