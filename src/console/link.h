/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Links: the two processes that do what the server must not wait for, and the socket to each.
 *
 * The server makes the pair of sockets and the process, which leaves the table of descriptors that
 * we share, with its end alone, and says so by one byte; only then our copy of that end is
 * closed, so that the end of one side is seen by the other; until then its pidfd shows it. One that
 * is killed is replaced; what it had been asked is asked of the new one.
 */

#include "console/guard.h"
#include "console/transcript.h"

#include <systemd/sd-event.h>

struct hf_con_server;

enum hf_con_link_kind {
        HF_CON_GUARD,
        HF_CON_TRANSCRIPT,
        HF_CON_LINKS,
};

/* In the area. */
struct hf_con_link_record {
        int32_t near, far, pidfd; /* -1: there is none; far: or it has greeted */
        int32_t old;              /* of the one before, which is to be told of its end; -1 */
        pid_t pid;
        bool ready; /* it has its end, and is told what to do */
};

struct hf_con_link {
        struct hf_con_server *server;
        enum hf_con_link_kind kind;
        struct hf_con_link_record *record;
        sd_event_source *source, *end, *retry, *soon;
        unsigned int failures; /* in a row */
};

/* Begins, or goes on with those of an earlier server. */
int hf_con_links_begin(struct hf_con_server *server);
void hf_con_links_end(struct hf_con_server *server);

/* There is something to be said to it: it is sent as soon as it goes. */
void hf_con_link_kick(struct hf_con_server *server, enum hf_con_link_kind kind);

/* All that the guard was asked to adopt it has: the one before may go. */
void hf_con_link_close_old(struct hf_con_server *server, enum hf_con_link_kind kind);

/*
 * What each kind does: when it is there anew (begins: or a server is), when there is something to
 * be read, and room to write. Negative errno: it is gone; write may say -EAGAIN.
 */
void hf_con_guard_begins(struct hf_con_server *server, bool anew);
int hf_con_guard_read(struct hf_con_server *server, int fd);
int hf_con_guard_write(struct hf_con_server *server, int fd);
void hf_con_transcript_begins(struct hf_con_server *server, bool anew);
int hf_con_transcript_read(struct hf_con_server *server, int fd);
int hf_con_transcript_write(struct hf_con_server *server, int fd);
