/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "console/session-private.h"

#include "base/cleanup.h"
#include "console/program.h"
#include "rpc/errors.h"

#include <errno.h>
#include <sys/epoll.h>

/* Requests served in one turn of a connection that pipelines, before others get theirs. */
#define REQUESTS_PER_TURN 16

static uint8_t *request_of(struct hf_con_session *session)
{
        return hf_exchange_request(&session->exchange, slot_of(session)->request);
}

static void want(struct hf_con_session *session, uint32_t events)
{
        if (session->source)
                (void)sd_event_source_set_io_events(session->source, events);
}

/* The length of the request at the start of the slot; 0 while too little of it is there. */
static int64_t request_length(struct hf_con_session *session)
{
        if (hf_exchange_received(&session->exchange) < HF_RPC_LENGTH_SIZE)
                return 0;
        return hf_rpc_length(request_of(session));
}

/* Removes the served request; what was pipelined behind it is next. */
static void drop_request(struct hf_con_session *session)
{
        session->waits_since = 0;
        /* Others may wait for their turn. */
        if (session->asked_monitor)
                hf_con_server_retry(session->server);
        session->asked_monitor = false;
        hf_exchange_consume(&session->exchange, slot_of(session)->request, HF_CON_REQUEST_KEPT,
                            (uint64_t)request_length(session));
        session->crashes = 0;
        session->state = HF_CON_READING;
}

/* The client's end has gone with its answer; ours of it is not needed any more. */
static void drop_attached(struct hf_con_session *session)
{
        int fd = session->client.peer_fd;

        session->client.peer_fd = -1;
        atomic_signal_fence(memory_order_seq_cst);
        hf_close_fd(&fd);
}

/* Sends what is left of the answer; then the request is done with. 1, 0 or a negative errno. */
static int send_answer(struct hf_con_session *session)
{
        struct hf_exchange_way way = {.fd = session->fd,
                                      .answer = slot_of(session)->answer,
                                      .attached = session->client.peer_fd};
        int r = hf_exchange_send(&session->exchange, &way);

        if (r <= 0)
                return r;
        drop_attached(session);
        if (session->refused)
                return -ECONNREFUSED;
        drop_request(session);
        return 1;
}

/* Sends what is left of a message; the request stays. */
static int send_message(struct hf_con_session *session)
{
        struct hf_exchange_way way = {
                .fd = session->fd, .answer = slot_of(session)->answer, .attached = -1};
        int r = hf_exchange_send(&session->exchange, &way);

        if (r > 0)
                hf_exchange_told(&session->exchange);
        return r;
}

bool hf_con_session_tell(struct hf_con_session *session, int proc, xdrproc_t put, const void *body)
{
        struct hf_rpc_header header = session->call;
        int len;

        if (session->state != HF_CON_LISTENING || hf_exchange_tells(&session->exchange))
                return false;
        header.type = HF_RPC_MESSAGE;
        header.proc = proc;
        header.status = HF_RPC_OK;
        len = hf_rpc_put(slot_of(session)->answer, HF_CON_MESSAGE_MAX, &header, put, body);
        if (len < 0)
                return false;
        hf_exchange_tell(&session->exchange, (uint32_t)len);
        /* Where that fails the client is gone, of which the loop tells as well. */
        if (send_message(session) <= 0)
                want(session, EPOLLIN | EPOLLOUT);
        return true;
}

static void set_answer(struct hf_con_session *session, int len)
{
        hf_exchange_commit(&session->exchange, (uint32_t)len);
        session->state = HF_CON_SENDING;
        hf_con_session_carry_out(session);
}

void hf_con_session_answer_error(struct hf_con_session *session, const struct hf_error *err)
{
        session->intent = HF_CON_INTENT_NONE;
        set_answer(session, hf_rpc_put_error(slot_of(session)->answer, HF_CON_ANSWER_MAX,
                                             &session->call, err));
}

void hf_con_session_answer(struct hf_con_session *session, xdrproc_t proc, const void *body)
{
        struct hf_rpc_header header = hf_rpc_reply_to(&session->call, HF_RPC_OK);
        struct hf_error error;
        int len = hf_rpc_put(slot_of(session)->answer, HF_CON_ANSWER_MAX, &header, proc, body);

        if (len >= 0) {
                set_answer(session, len);
                return;
        }
        (void)hf_error_set(&error, EMSGSIZE, HF_ERR_RPC, HF_FROM_RPC,
                           "the answer is too large to be sent");
        hf_con_session_answer_error(session, &error);
}

void hf_con_session_send_message(struct hf_con_session *session, const struct hf_rpc_header *header)
{
        set_answer(session,
                   hf_rpc_put(slot_of(session)->answer, HF_CON_ANSWER_MAX, header, NULL, NULL));
}

/* 1 when a whole request is in the slot, 0 when not, or a negative errno: no legal frame. */
static int request_is_complete(struct hf_con_session *session)
{
        int64_t length = request_length(session);

        if (length < 0)
                return (int)length;
        return length > 0 && hf_exchange_received(&session->exchange) >= (uint64_t)length;
}

static void refuse_poison(struct hf_con_session *session)
{
        struct hf_error error;

        (void)hf_error_set(&error, EPROTO, HF_ERR_INTERNAL, HF_FROM_RPC,
                           "the daemon has crashed %d times when it served this request (procedure "
                           "%d), and does not try again; please report it",
                           HF_CON_CRASHES_MAX, session->call.proc);
        hf_con_session_answer_error(session, &error);
}

static void serve(struct hf_con_session *session)
{
        uint8_t *request = request_of(session);
        uint64_t length = (uint64_t)request_length(session);
        size_t usable = length < HF_CON_REQUEST_KEPT ? (size_t)length : HF_CON_REQUEST_KEPT;

        hf_rpc_get_header(request, &session->call);
        if (!session->waits_since)
                session->waits_since = hf_con_server_now(session->server);
        session->intent = HF_CON_INTENT_NONE;
        session->state = HF_CON_READING;
        session->serving = true;
        if (session->crashes < HF_CON_CRASHES_MAX)
                hf_con_dispatch(session, request + HF_RPC_HEADER_SIZE, usable - HF_RPC_HEADER_SIZE);
        else
                refuse_poison(session);
        session->serving = false;
        /* Nothing is to be said to it. */
        if (session->state == HF_CON_READING)
                drop_request(session);
}

/* One step; 1: there may be another one, 0: not now. */
static int step(struct hf_con_session *session)
{
        int r;

        switch (session->state) {
        case HF_CON_SENDING:
                return send_answer(session);
        case HF_CON_LISTENING:
                if (hf_exchange_tells(&session->exchange)) {
                        r = send_message(session);
                        if (r <= 0)
                                return r;
                }
                hf_con_client_tell(session);
                return 0;
        case HF_CON_WAITING:
                return 0;
        default:
                r = request_is_complete(session);
                if (r > 0)
                        serve(session);
                return r;
        }
}

/*
 * Goes on until bytes, room or something else are missing, or the turn is over. Returns a
 * negative errno when the session is.
 */
static int advance(struct hf_con_session *session)
{
        uint32_t events = 0;
        int r = 1;

        for (int n = 0; r > 0 && n < 2 * REQUESTS_PER_TURN; n++)
                r = step(session);
        if (r < 0)
                return r;
        /* Room to write comes at once where only the turn is over. */
        if (session->state == HF_CON_SENDING || r > 0 || hf_exchange_tells(&session->exchange))
                events = EPOLLOUT;
        else if (session->state == HF_CON_READING)
                events = EPOLLIN;
        want(session, events);
        return 0;
}

static int read_more(struct hf_con_session *session)
{
        int64_t length = request_length(session);
        ssize_t n = hf_exchange_receive(&session->exchange, session->fd, slot_of(session)->request,
                                        HF_CON_REQUEST_KEPT, (uint64_t)length);

        if (n < 0)
                return n == -EAGAIN || n == -EINTR ? 0 : (int)n;
        return n == 0 ? -ECONNRESET : 0;
}

int hf_con_session_serve(sd_event_source *source, int fd, uint32_t revents, void *data)
{
        struct hf_con_session *session = data;
        int r = 0;

        (void)source;
        (void)fd;
        if (session->state == HF_CON_READING && (revents & (EPOLLIN | EPOLLHUP | EPOLLERR)))
                r = read_more(session);
        else if (session->state != HF_CON_SENDING && (revents & (EPOLLHUP | EPOLLERR)))
                r = -ECONNRESET;
        if (r < 0)
                hf_con_session_close(session);
        else
                hf_con_session_resume(session);
        return 0;
}

void hf_con_session_resume(struct hf_con_session *session)
{
        if (session->fd >= 0 && advance(session) < 0)
                hf_con_session_close(session);
}

void hf_con_sessions_retry(struct hf_con_server *server)
{
        struct hf_con_session *next;

        for (struct hf_con_session *s = server->sessions; s; s = next) {
                next = s->next;
                if (s->state != HF_CON_WAITING)
                        continue;
                s->state = HF_CON_READING;
                hf_con_session_resume(s);
        }
}

void hf_con_session_carry_out(struct hf_con_session *session)
{
        uint32_t intent = session->intent;
        struct hf_console *console;

        if (intent == HF_CON_INTENT_NONE)
                return;
        console = hf_console_by_id(session->server, session->intent_console);
        if (intent == HF_CON_INTENT_ATTACH)
                hf_con_attach_carry_out(session);
        /* At most once: who sees no break asks for another one. */
        session->intent = HF_CON_INTENT_NONE;
        if (intent == HF_CON_INTENT_BREAK && console)
                hf_console_break(console);
        if (intent == HF_CON_INTENT_FORGET && console)
                hf_console_forget(console, session->intent_flags);
}
