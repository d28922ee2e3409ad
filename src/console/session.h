/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A session: one connection, the one request on it that is being served, and the attachment that
 * was made on it, if there was one.
 *
 * It lives in a slot of the area, with its bytes, and its answers go out exactly once, as
 * keeper/receipt.h has it. A request that has to wait for something (a device that is being
 * opened) stays where it is and is served again from its start when something has happened; so
 * there is nothing of it to be kept but since when it waits. What is done by a request is done
 * before its answer, where doing it twice is the same as once, and else by its intent, after the
 * answer's commit.
 *
 * The call for notices is never answered: its request stays, and messages belong to it.
 */

#include "console/client.h"
#include "keeper/receipt.h"
#include "rpc/message.h"

struct hf_con_server;
struct hf_con_listener;
struct hf_peer;

/* Of a request that much is looked at: names, two paths, and words. */
#define HF_CON_REQUEST_KEPT (16 * 1024)

/* A page of a list, or an attachment's marks with one console. */
#define HF_CON_ANSWER_MAX  (256 * 1024)
#define HF_CON_MESSAGE_MAX (HF_CON_ANSWER_MAX / 2)

enum hf_con_session_state {
        HF_CON_READING,
        HF_CON_WAITING,   /* its request is to be served again when something has happened */
        HF_CON_LISTENING, /* its request is the one for notices */
        HF_CON_SENDING,
};

enum hf_con_session_word {
        HF_CON_SESSION_USED = HF_EXCHANGE_USER << 0,
};

/* What the answer that stands commits to. */
enum hf_con_intent {
        HF_CON_INTENT_NONE,
        HF_CON_INTENT_ATTACH,
        HF_CON_INTENT_BREAK,
        HF_CON_INTENT_FORGET,
};

struct hf_con_session {
        /* This server's own; the next one makes them again. */
        struct hf_con_session *next, **prev;
        struct hf_con_server *server;
        sd_event_source *source;
        enum hf_con_session_state state;
        struct hf_rpc_header call;

        struct hf_exchange exchange;
        uint32_t intent;
        uint64_t intent_console, intent_token;
        uint32_t intent_flags;
        bool serving;
        uint8_t crashes;
        uint64_t waits_since; /* CLOCK_MONOTONIC, of the request; 0: it was not looked at yet */
        bool asked_monitor;   /* for it */

        int32_t fd; /* -1: its client has left, and what it typed is on its way */
        bool read_only;
        bool owner; /* of this daemon, or root: may do all */
        bool refused;
        uint64_t id;
        uint64_t connected; /* microseconds since the epoch */
        pid_t peer_pid;
        uid_t peer_uid;
        char via[HF_CON_NAME_MAX];
        struct hf_con_client client;
};

/* Takes over a connected descriptor. On failure it is closed. */
int hf_con_session_new(const struct hf_con_listener *listener, int fd, const struct hf_peer *peer,
                       bool refused, struct hf_con_session **ret);

bool hf_con_session_is_used(const struct hf_con_session *session);

/* Goes on with the session of an earlier server. crashed: that ended by a fault of its own. */
void hf_con_session_settle(struct hf_con_session *session, bool crashed);
int hf_con_session_adopt(struct hf_con_session *session, struct hf_con_server *server);

/* Carries out what a committed answer of an earlier server says. */
void hf_con_session_carry_out(struct hf_con_session *session);

/* The end of its connection; what its client typed may stay for a while. */
void hf_con_session_close(struct hf_con_session *session);

/* The end of all of it. */
void hf_con_session_free(struct hf_con_session *session);

void hf_con_session_answer(struct hf_con_session *session, xdrproc_t proc, const void *body);
void hf_con_session_answer_error(struct hf_con_session *session, const struct hf_error *err);
void hf_con_session_send_message(struct hf_con_session *session,
                                 const struct hf_rpc_header *header);

/* A message of the call that it listens by. False: the last one has not gone yet. */
bool hf_con_session_tell(struct hf_con_session *session, int proc, xdrproc_t put, const void *body);

/* Goes on: sends what stands, tells what is to be told, serves what is there. May be its end. */
void hf_con_session_resume(struct hf_con_session *session);

/* Something has happened: those that wait are served again. */
void hf_con_sessions_retry(struct hf_con_server *server);
