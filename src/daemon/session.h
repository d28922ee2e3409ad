/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A session: one connection and the one request on it that is being served.
 *
 * Bytes live in a fixed slot per connection: the request that is being received
 * (with what was pipelined behind it) and the answer that is being sent. The
 * next request is looked at when the answer to the last has gone, so a client
 * that does not read costs one slot and nothing else. Of a request longer than
 * any procedure can use, the surplus is read and dropped.
 */

#include "daemon/server.h"
#include "rpc/message.h"

/* The answer slot: a page of a list; single answers are far smaller. */
#define HF_SESSION_ANSWER_MAX (256 * 1024)

struct hf_session_slot {
        uint8_t request[HF_RPC_REQUEST_KEPT];
        uint8_t answer[HF_SESSION_ANSWER_MAX];
};

enum hf_session_state {
        HF_SESSION_READING, /* wants the rest of a request */
        HF_SESSION_WORKING, /* a step of its request has not completed */
        HF_SESSION_SENDING, /* its client has not taken the whole answer */
};

struct hf_session {
        struct hf_session *next, **prev; /* the server's list */
        struct hf_server *server;
        const struct hf_listener *listener; /* what may be asked */
        enum hf_service_kind kind;
        bool read_only;
        bool refused; /* over the limit: its first call is answered with an error */
        bool leaving; /* asked to be closed once it has its answer */
        int fd;
        uint32_t events; /* what it waits for, as epoll has it */
        uint32_t slot;

        uint64_t id;        /* virt-admin's client id */
        uint64_t connected; /* microseconds since the epoch */
        uint64_t arrived;   /* the same in clock ticks since boot, as a process's start */
        pid_t peer_pid;
        uid_t peer_uid;
        gid_t peer_gid;

        enum hf_session_state state;
        struct hf_rpc_header call; /* being answered */
        uint64_t received;         /* bytes of request: in the slot and, behind it, dropped */
        uint32_t answer_len, answer_sent;
        void (*cancel)(void *job); /* of the step under way: nobody waits for it any more */
        void *job;

        bool restricted;
        bool registered;
        pid_t owner_pid;
        uint32_t owner_id;
        uint8_t owner_uuid[16];
        char *owner_name;
        uint32_t owner; /* in the table, once it was needed; counted in its sessions */
        bool own;       /* the owner's own connection: peer and owner are one process */
        char via[HF_TABLE_VIA_MAX];
};

/* Takes over a connected descriptor. On failure it is closed. */
int hf_session_new(const struct hf_listener *listener, int fd, bool refused,
                   struct hf_session **ret);

/* Ends a session: closes it and tells departure. */
void hf_session_close(struct hf_session *session);

/* Ends a session without any consequence, when the daemon itself ends. */
void hf_session_free(struct hf_session *session);

/*
 * Answers the call that is being served. proc NULL: success without a body.
 * What does not fit the answer slot becomes an error.
 */
void hf_session_answer(struct hf_session *session, xdrproc_t proc, const void *body);
void hf_session_answer_error(struct hf_session *session, const struct hf_error *err);

/* Sends a message that answers nothing (a pong). */
void hf_session_send_message(struct hf_session *session, const struct hf_rpc_header *header);

/* The step of a WORKING session has completed and was answered: go on with the next request. */
void hf_session_resume(struct hf_session *session);

/*
 * The handlers of poll_fd and reader_poll_fd. Connections have epolls of their own
 * inside the loop's, so that a turn of the loop serves all that are ready, and
 * those that ask again meanwhile; or one of those that only look.
 */
int hf_sessions_serve(sd_event_source *source, int fd, uint32_t revents, void *data);
int hf_readers_serve(sd_event_source *source, int fd, uint32_t revents, void *data);
