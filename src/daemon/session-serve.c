/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/session-private.h"

#include "base/cleanup.h"
#include "daemon/dispatch.h"
#include "daemon/wait.h"
#include "rpc/errors.h"

#include <errno.h>
#include <sys/epoll.h>

/* Requests served in one turn of a connection that pipelines, before others get theirs. */
#define REQUESTS_PER_TURN 16

/* Ready connections served in one go, and how often before other sources of the loop are asked. */
#define BATCH            64
#define BATCHES_PER_TURN 4

/*
 * Who only looks is asked for the long lists and may be anybody: in a turn of the
 * loop one request of one such connection is served.
 */
#define READER_REQUESTS_PER_TURN 1

static uint8_t *request_of(struct hf_session *session)
{
        return hf_exchange_request(&session->exchange, slot_of(session)->request);
}

/* Says what the session waits for; 0: nothing but its client's end, of which epoll always tells. */
static void want(struct hf_session *session, uint32_t events)
{
        struct epoll_event event = {.events = events, .data.ptr = session};

        if (events == session->events)
                return;
        (void)epoll_ctl(poll_of(session), EPOLL_CTL_MOD, session->fd, &event);
        session->events = events;
}

/* The length of the request at the start of the slot; 0 while too little of it is there. */
static int64_t request_length(struct hf_session *session)
{
        if (hf_exchange_received(&session->exchange) < HF_RPC_LENGTH_SIZE)
                return 0;
        return hf_rpc_length(request_of(session));
}

/* Removes the served request; what was pipelined behind it is next. */
static void drop_request(struct hf_session *session)
{
        hf_exchange_consume(&session->exchange, slot_of(session)->request, HF_RPC_REQUEST_KEPT,
                            (uint64_t)request_length(session));
        session->crashes = 0;
        session->state = HF_SESSION_READING;
}

/*
 * The descriptor that goes with the answer, if it is still its owner's lock; or -1. Of a lock
 * that a worker gives back the number may be another file's by now.
 */
static int attached_to(const struct hf_session *session)
{
        struct hf_table *table = session->server->table;
        const struct hf_hold *hold = hf_table_hold(table, session->attached);
        const struct hf_lock *lock = hf_table_lock(table, hold->lock);

        if (!session->attached || !hold->check || hold->owner != session->owner ||
            lock->flags & HF_LOCK_RELEASING)
                return -1;
        return lock->fd;
}

/*
 * Sends what is left of the answer; then the request is done with. Returns 1, 0
 * when the client has to read first, or a negative errno.
 */
static int send_answer(struct hf_session *session)
{
        struct hf_session_slot *slot = slot_of(session);
        struct hf_exchange_way way = {
                .fd = session->fd, .answer = slot->answer, .attached = attached_to(session)};
        int r = hf_exchange_send(&session->exchange, &way);

        /* Too many are on their way. It is a courtesy, and the answer is none. */
        if (way.attached >= 0 && (r == -ETOOMANYREFS || r == -EBADF)) {
                way.attached = -1;
                r = hf_exchange_send(&session->exchange, &way);
        }
        if (r <= 0)
                return r;
        if (session->refused || session->leaving)
                return -ECONNREFUSED;
        drop_request(session);
        return 1;
}

/* Sends what is left of a message; the request stays. Returns as send_answer does. */
static int send_message(struct hf_session *session)
{
        struct hf_exchange_way way = {
                .fd = session->fd, .answer = slot_of(session)->answer, .attached = -1};
        int r = hf_exchange_send(&session->exchange, &way);

        if (r > 0)
                hf_exchange_told(&session->exchange);
        return r;
}

bool hf_session_tell(struct hf_session *session, int proc, xdrproc_t put, const void *body)
{
        struct hf_rpc_header header = session->call;
        int len;

        if (hf_exchange_tells(&session->exchange))
                return false;
        header.type = HF_RPC_MESSAGE;
        header.proc = proc;
        header.status = HF_RPC_OK;
        len = hf_rpc_put(slot_of(session)->answer, HF_SESSION_MESSAGE_MAX, &header, put, body);
        if (len < 0)
                return false;
        session->large |= len > BUFFER_KEPT;
        hf_exchange_tell(&session->exchange, (uint32_t)len);
        /* Where that fails the client is gone, of which epoll tells as well. */
        if (send_message(session) <= 0)
                want(session, EPOLLOUT);
        return true;
}

/* The answer's place in its buffer, and how much may be there. */
static uint8_t *room_for(struct hf_session *session, size_t *ret_size)
{
        uint32_t at = hf_exchange_room(&session->exchange);

        *ret_size = HF_SESSION_ANSWER_MAX - at;
        return slot_of(session)->answer + at;
}

/* The answer's commit, and what it commits to. */
static void set_answer(struct hf_session *session, int len)
{
        session->large |= hf_exchange_room(&session->exchange) + (uint32_t)len > BUFFER_KEPT;
        hf_exchange_commit(&session->exchange, (uint32_t)len);
        session->ticket = 0;
        session->state = HF_SESSION_SENDING;
        hf_intent_carry_out(session);
}

void hf_session_intend(struct hf_session *session, enum hf_intent_kind kind, uint32_t index)
{
        session->intent = (struct hf_intent){.kind = kind, .index = index};
}

void hf_session_answer_error(struct hf_session *session, const struct hf_error *err)
{
        size_t size;
        uint8_t *room = room_for(session, &size);

        session->intent.kind = HF_INTENT_NONE;
        set_answer(session, hf_rpc_put_error(room, size, &session->call, err));
}

void hf_session_answer(struct hf_session *session, xdrproc_t proc, const void *body)
{
        struct hf_rpc_header header = hf_rpc_reply_to(&session->call, HF_RPC_OK);
        struct hf_error error;
        size_t size;
        uint8_t *room = room_for(session, &size);
        int len = hf_rpc_put(room, size, &header, proc, body);

        if (len >= 0) {
                set_answer(session, len);
                return;
        }
        (void)hf_error_set(&error, EMSGSIZE, HF_ERR_RPC, HF_FROM_RPC,
                           "the answer is too large to be sent");
        hf_session_answer_error(session, &error);
}

void hf_session_send_message(struct hf_session *session, const struct hf_rpc_header *header)
{
        set_answer(session,
                   hf_rpc_put(slot_of(session)->answer, HF_SESSION_ANSWER_MAX, header, NULL, NULL));
}

/* 1 when a whole request is in the slot, 0 when not, or a negative errno: no legal frame. */
static int request_is_complete(struct hf_session *session)
{
        int64_t length = request_length(session);

        if (length < 0)
                return (int)length;
        return length > 0 && hf_exchange_received(&session->exchange) >= (uint64_t)length;
}

static void refuse_poison(struct hf_session *session)
{
        struct hf_error error;

        (void)hf_error_set(&error, EPROTO, HF_ERR_INTERNAL, HF_FROM_RPC,
                           "the daemon has crashed %d times when it served this request (procedure "
                           "%d), and does not try again; please report it",
                           CRASHES_MAX, session->call.proc);
        hf_session_answer_error(session, &error);
}

static void serve(struct hf_session *session)
{
        uint8_t *request = request_of(session);
        uint64_t length = (uint64_t)request_length(session);
        size_t usable = length < HF_RPC_REQUEST_KEPT ? (size_t)length : HF_RPC_REQUEST_KEPT;

        hf_rpc_get_header(request, &session->call);
        session->intent.kind = HF_INTENT_NONE;
        session->attached = 0;
        session->serving = true;
        if (session->crashes < CRASHES_MAX)
                hf_dispatch(session, request + HF_RPC_HEADER_SIZE, usable - HF_RPC_HEADER_SIZE);
        else
                refuse_poison(session);
        session->serving = false;
        /* Before anybody else is served: what was given back is theirs who wait for it. */
        if (session->server->woken)
                hf_waits_look(session->server);
        /* Nothing is to be said to it. */
        if (session->state == HF_SESSION_READING)
                drop_request(session);
}

/* Serves the next request, if a whole one is here: returns 1, else 0; or a negative errno. */
static int serve_next(struct hf_session *session)
{
        int r = session->state == HF_SESSION_READING ? request_is_complete(session) : 0;

        if (r > 0)
                serve(session);
        return r;
}

static int go_on_telling(struct hf_session *session)
{
        int r;

        if (!hf_exchange_tells(&session->exchange))
                return 0;
        r = send_message(session);
        if (r > 0 && session->state == HF_SESSION_WORKING && session->told)
                session->told(session->job);
        return r;
}

/*
 * Sends the answer, then serves what is in the slot, until bytes, room or a
 * completion are missing, or the turn is over. Returns a negative errno when
 * the session is.
 */
static int advance(struct hf_session *session)
{
        int turn = session->read_only ? READER_REQUESTS_PER_TURN : REQUESTS_PER_TURN, r;

        r = go_on_telling(session);
        if (r < 0)
                return r;
        for (int served = 0;; served++) {
                if (session->state == HF_SESSION_SENDING) {
                        r = send_answer(session);
                        if (r < 0)
                                return r;
                        if (r == 0)
                                break;
                }
                r = session->state == HF_SESSION_READING ? request_is_complete(session) : 0;
                if (r < 0)
                        return r;
                if (r == 0 || served == turn)
                        break;
                serve(session);
        }
        /* Room to write comes at once where only the turn is over. */
        if (session->state == HF_SESSION_WORKING || session->state == HF_SESSION_SETTLING)
                want(session, hf_exchange_tells(&session->exchange) ? EPOLLOUT : 0);
        else
                want(session, session->state == HF_SESSION_SENDING || r > 0 ? EPOLLOUT : EPOLLIN);
        return 0;
}

static int read_more(struct hf_session *session)
{
        int64_t length = request_length(session);
        ssize_t n = hf_exchange_receive(&session->exchange, session->fd, slot_of(session)->request,
                                        HF_RPC_REQUEST_KEPT, (uint64_t)length);

        if (n < 0)
                return n == -EAGAIN || n == -EINTR ? 0 : (int)n;
        session->large |= hf_exchange_received(&session->exchange) > BUFFER_KEPT;
        return n == 0 ? -ECONNRESET : 0;
}

static int take_in(struct hf_session *session, uint32_t events)
{
        if (session->state == HF_SESSION_READING && (events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
                return read_more(session);
        /* Nobody is there to be answered. */
        if (session->state != HF_SESSION_SENDING && (events & (EPOLLHUP | EPOLLERR)))
                return -ECONNRESET;
        return 0;
}

static void resume_of_batch(struct hf_session *session)
{
        session->in_batch = false;
        hf_session_resume(session);
}

/*
 * Serves the connections that are ready. The answers go out together after the
 * last request was served: clients that wait on one processor are woken once.
 * Returns how many there were.
 *
 * A session is only ever closed by its own turn here, by the listener or by its
 * completion, so the batch stays valid.
 */
static int serve_batch(struct hf_server *server, int poll_fd)
{
        struct epoll_event events[BATCH];
        int n = epoll_wait(poll_fd, events, BATCH, 0);

        for (int i = 0; i < n; i++) {
                struct hf_session *session = events[i].data.ptr;

                session->in_batch = true;
                if (take_in(session, events[i].events) < 0 || serve_next(session) < 0) {
                        hf_session_close(session);
                        events[i].data.ptr = NULL;
                }
        }
        /* First those that have waited for what was given back. */
        hf_sessions_resume(server);
        for (int i = 0; i < n; i++)
                if (events[i].data.ptr)
                        resume_of_batch(events[i].data.ptr);
        hf_sessions_resume(server);
        return n;
}

int hf_sessions_serve(sd_event_source *source, int fd, uint32_t revents, void *data)
{
        int batches = 0;

        (void)source;
        (void)revents;
        while (serve_batch(data, fd) > 0 && ++batches < BATCHES_PER_TURN)
                ;
        return 0;
}

int hf_readers_serve(sd_event_source *source, int fd, uint32_t revents, void *data)
{
        struct epoll_event event;

        (void)source;
        (void)revents;
        (void)data;
        if (epoll_wait(fd, &event, 1, 0) < 1)
                return 0;
        if (take_in(event.data.ptr, event.events) < 0)
                hf_session_close(event.data.ptr);
        else
                hf_session_resume(event.data.ptr);
        return 0;
}

void hf_session_resume(struct hf_session *session)
{
        if (advance(session) < 0)
                hf_session_close(session);
}

void hf_sessions_settle(struct hf_server *server)
{
        for (struct hf_session *s = server->sessions; s; s = s->next)
                if (s->state == HF_SESSION_SETTLING)
                        hf_intent_carry_out(s);
        /* They wait for nothing, in epoll's eyes, until they are told to go on. */
        for (struct hf_session *next, *s = server->sessions; s; s = next) {
                next = s->next;
                if (s->state == HF_SESSION_SENDING && s->events == 0)
                        hf_session_resume(s);
        }
}
