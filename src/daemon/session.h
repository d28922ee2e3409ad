/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A session: one connection and the one request on it that is being served.
 *
 * A session and its bytes live in a fixed slot of the area, which outlives the
 * server: the request that is being received (with what was pipelined behind it)
 * and the answer that is being sent. The next request is looked at when the answer
 * to the last has gone, so a client that does not read costs one slot and
 * nothing else. Of a request longer than any procedure can use, the surplus is
 * read and dropped.
 *
 * A request is served by preparing all that it changes, and the answer; the
 * answer's commit is one store, and what it says is then carried out
 * (intent.h). A server that is killed before has changed nothing, and the next
 * one serves the request from the start; one that is killed later leaves an
 * answer that the next one sends, as far as it has not gone.
 *
 * A request that is pending may be told of its progress by messages, from the
 * same slot: they commit to nothing, and a server that finds a message sends
 * what has not gone of it and serves the request from the start.
 */

#include "daemon/intent.h"
#include "daemon/server.h"
#include "keeper/receipt.h"
#include "rpc/message.h"

struct hf_peer;

/* The answer slot: a page of a list; single answers are far smaller. */
#define HF_SESSION_ANSWER_MAX (256 * 1024)

/* A message: what is left of the slot is for an answer behind it. */
#define HF_SESSION_MESSAGE_MAX (HF_SESSION_ANSWER_MAX / 2)

enum hf_session_state {
        HF_SESSION_READING,  /* wants the rest of a request */
        HF_SESSION_WORKING,  /* a step of its request has not completed */
        HF_SESSION_SETTLING, /* what its answer commits to is being done by a worker */
        HF_SESSION_SENDING,  /* its client has not taken the whole answer */
};

/* The program's bits in the word of its exchange. */
enum hf_session_word {
        HF_SESSION_USED = HF_EXCHANGE_USER << 0,    /* the slot has a session */
        HF_SESSION_CLOSING = HF_EXCHANGE_USER << 1, /* its end has begun */
};

struct hf_session {
        /* This server's own; the next one makes them again. */
        struct hf_session *next, **prev; /* the server's list */
        struct hf_server *server;
        const struct hf_listener *listener; /* what may be asked */
        enum hf_session_state state;
        uint32_t events;           /* what it waits for, as epoll has it */
        struct hf_rpc_header call; /* being answered */
        void (*cancel)(void *job); /* of the step under way: nobody waits for it any more */
        void (*told)(void *job);   /* a message that did not go at once has gone; may be NULL */
        void *job;
        struct hf_session *next_answered, **prev_answered; /* see hf_session_resume_later */
        bool in_batch; /* served with others, and resumed with them */

        struct hf_exchange exchange;
        struct hf_intent intent; /* what the answer that stands commits to */
        bool serving;            /* its request is being looked at */
        uint8_t crashes;         /* of servers that looked at it */
        uint32_t attached;       /* the hold whose lock's descriptor goes with it; 0: none */
        /* Of a set that waits (wait.h), until its answer is committed. The ticket is stored last.
         */
        uint64_t ticket;        /* its place; 0: it has none */
        uint64_t wait_until;    /* CLOCK_BOOTTIME microseconds; 0: for ever */
        uint64_t waiting_since; /* the same */

        int fd;
        uint32_t listener_index;
        enum hf_service_kind kind;
        bool read_only;
        bool refused; /* over the limit: its first call is answered with an error */
        bool leaving; /* asked to be closed once it has its answer */
        bool large;   /* a buffer was used beyond its first page */

        uint64_t id;        /* virt-admin's client id */
        uint64_t connected; /* microseconds since the epoch */
        uint64_t arrived;   /* the same in clock ticks since boot, as a process's start */
        pid_t peer_pid;
        uid_t peer_uid;
        gid_t peer_gid;
        uint32_t check; /* of what does not change of all this (sound.h) */

        uint64_t event_next; /* number of the event that it is to be told next; 0: it listens to
                                none */

        bool wants_descriptor; /* with the answer to its acquire */
        bool restricted;
        bool registered;
        bool client; /* it stands for itself: its owner is a client owner (owner.h) */
        pid_t owner_pid;
        uint32_t owner_id;
        uint8_t owner_uuid[16];
        uint32_t owner; /* in the table, once it was needed; counted in its sessions */
        bool own;       /* the owner's own connection: peer and owner are one process */
        char via[HF_TABLE_VIA_MAX];
        char owner_name[HF_TABLE_OWNER_NAME_MAX + 1];
};

/* Takes over a connected descriptor. On failure it is closed. */
int hf_session_new(const struct hf_listener *listener, int fd, const struct hf_peer *peer,
                   bool refused, struct hf_session **ret);

/* Whether a slot has a session of an earlier server. */
bool hf_session_is_used(const struct hf_session *session);

/*
 * Before that: forgets what was not committed. crashed: its server has ended by a
 * fault of its own; a request that is found there again and again is not served
 * any more, but answered with an error.
 */
void hf_session_settle(struct hf_session *session, bool crashed);

/* Goes on with such a session. On failure it stays as it is. */
int hf_session_adopt(struct hf_session *session, struct hf_server *server);

/* Ends a session: closes it and tells departure. */
void hf_session_close(struct hf_session *session);

/* Ends a session without any consequence, when the daemon itself ends. */
void hf_session_free(struct hf_session *session);

/* Says what the answer to the call that is being served will commit to. */
void hf_session_intend(struct hf_session *session, enum hf_intent_kind kind, uint32_t index);

/*
 * Answers the call that is being served, and carries out what was intended. proc
 * NULL: success without a body. What does not fit the answer slot becomes an error.
 */
void hf_session_answer(struct hf_session *session, xdrproc_t proc, const void *body);
void hf_session_answer_error(struct hf_session *session, const struct hf_error *err);

/*
 * Tells the client of a request that is pending, or is about to be, something: a message
 * with the call's program and serial. It is sent at once as far as there is room, and the
 * rest later. False where the last one has not gone yet, or this one is too large: nothing
 * is sent then. Later told(job) is called, once, when what did not go at once
 * has gone; it may tell the next thing, or answer, but neither resume nor close the
 * session. An answer never waits for that: it goes behind the message.
 */
bool hf_session_tell(struct hf_session *session, int proc, xdrproc_t put, const void *body);

/* Sends a message that answers nothing (a pong). */
void hf_session_send_message(struct hf_session *session, const struct hf_rpc_header *header);

/*
 * A worker has done something: what SETTLING sessions wait for is looked at again, of
 * all of them before any of them goes on.
 */
void hf_sessions_settle(struct hf_server *server);

/* The step of a WORKING session has completed and was answered: go on with the next request. */
void hf_session_resume(struct hf_session *session);

/*
 * The same where it may not be done at once, as it may be the session's end: while another one's
 * request is being served. And does so, of all but those that are about to be resumed anyway.
 */
void hf_session_resume_later(struct hf_session *session);
void hf_sessions_resume(struct hf_server *server);

/*
 * The handlers of poll_fd and reader_poll_fd. Connections have epolls of their own
 * inside the loop's, so that a turn of the loop serves all that are ready, and
 * those that ask again meanwhile; or one of those that only look.
 */
int hf_sessions_serve(sd_event_source *source, int fd, uint32_t revents, void *data);
int hf_readers_serve(sd_event_source *source, int fd, uint32_t revents, void *data);
