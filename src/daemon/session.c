/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/session-private.h"

#include "base/cleanup.h"
#include "base/log.h"
#include "base/socket.h"
#include "daemon/departure.h"
#include "daemon/sound.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/mman.h>

#define MODULE "daemon.session"

_Static_assert(offsetof(struct hf_session_slot, session) == 0, "a session is at its slot's begin");
_Static_assert(sizeof(struct hf_session) <= 4096, "a session is locked in memory as one page");

static void link_session(struct hf_session *session)
{
        struct hf_server *server = session->server;

        session->next = server->sessions;
        session->prev = &server->sessions;
        if (session->next)
                session->next->prev = &session->next;
        server->sessions = session;
        if (session->refused) {
                server->refused++;
                return;
        }
        server->clients[session->kind]++;
        server->readers += session->read_only;
}

static void unlink_session(struct hf_session *session)
{
        struct hf_server *server = session->server;

        *session->prev = session->next;
        if (session->next)
                session->next->prev = session->prev;
        if (session->refused) {
                server->refused--;
                return;
        }
        server->clients[session->kind]--;
        server->readers -= session->read_only;
}

/* Lets epoll tell of it, and its server count it. */
static int join(struct hf_session *session, uint32_t events)
{
        struct epoll_event event = {.events = events, .data.ptr = session};

        /* Of a session of an earlier server whose end had begun the descriptor may be closed. */
        if (session->fd >= 0 && epoll_ctl(poll_of(session), EPOLL_CTL_ADD, session->fd, &event) < 0)
                return -errno;
        session->events = events;
        link_session(session);
        return 0;
}

/* A slot that was used before, or the next one; NULL where all are in use. */
static struct hf_session *take_slot(struct hf_server *server)
{
        struct hf_area *area = server->area;

        if (server->n_free_slots > 0)
                return &area->slots[server->free_slots[--server->n_free_slots]].session;
        return area->n_touched < area->n_slots ? &area->slots[area->n_touched++].session : NULL;
}

static void put_slot(struct hf_server *server, const struct hf_session *session)
{
        const struct hf_session_slot *slot = (const void *)session;

        server->free_slots[server->n_free_slots++] = (uint32_t)(slot - server->area->slots);
}

int hf_session_new(const struct hf_listener *listener, int fd_arg, const struct hf_peer *peer,
                   bool refused, struct hf_session **ret)
{
        hf_cleanup_fd int fd = fd_arg;
        struct hf_server *server = listener->server;
        struct hf_session *session;
        int r;

        session = take_slot(server);
        if (!session)
                return -ENOBUFS;
        *session = (struct hf_session){
                .server = server,
                .listener = listener,
                .fd = fd,
                .listener_index = listener->index,
                .kind = listener->kind,
                .read_only = listener->read_only,
                .refused = refused,
                .id = ++server->area->next_client_id[listener->kind],
                .connected = hf_server_wall_clock(server),
                .arrived = hf_server_boot_ticks(server),
                .peer_pid = peer->pid,
                .peer_uid = peer->uid,
                .peer_gid = peer->gid,
        };
        r = join(session, EPOLLIN);
        if (r < 0) {
                put_slot(server, session);
                return r;
        }
        (void)hf_steal_fd(&fd);
        session->check = hf_session_check(session);
        hf_exchange_mark(&session->exchange, HF_SESSION_USED, 0);
        *ret = session;
        return 0;
}

bool hf_session_is_used(const struct hf_session *session)
{
        return hf_exchange_word(&session->exchange) & HF_SESSION_USED;
}

void hf_session_settle(struct hf_session *session, bool crashed)
{
        if (!hf_exchange_replies(&session->exchange))
                session->intent.kind = HF_INTENT_NONE;
        else
                session->ticket = 0;
        if (crashed && session->serving && session->crashes < CRASHES_MAX)
                session->crashes++;
        session->serving = false;
}

int hf_session_adopt(struct hf_session *session, struct hf_server *server)
{
        bool replies = hf_exchange_replies(&session->exchange);

        session->server = server;
        session->listener = &server->listeners[session->listener_index];
        session->state = replies ? HF_SESSION_SENDING : HF_SESSION_READING;
        session->cancel = NULL;
        session->told = NULL;
        session->job = NULL;
        session->prev_answered = NULL;
        session->in_batch = false;
        return join(session, replies ? EPOLLOUT : EPOLLIN);
}

static void give_back(uint8_t *buffer, size_t size)
{
        (void)madvise(buffer + BUFFER_KEPT, (size - BUFFER_KEPT) / BUFFER_KEPT * BUFFER_KEPT,
                      MADV_REMOVE);
}

static void give_slot_back(struct hf_session *session)
{
        struct hf_session_slot *slot = slot_of(session);

        hf_exchange_mark(&session->exchange, 0, ~0U);
        if (session->large) {
                give_back(slot->request, sizeof(slot->request));
                give_back(slot->answer, sizeof(slot->answer));
        }
        put_slot(session->server, session);
}

void hf_session_resume_later(struct hf_session *session)
{
        struct hf_server *server = session->server;

        if (session->prev_answered)
                return;
        session->next_answered = NULL;
        session->prev_answered = server->answered_end;
        *server->answered_end = session;
        server->answered_end = &session->next_answered;
}

static void leave_answered(struct hf_session *session)
{
        if (!session->prev_answered)
                return;
        *session->prev_answered = session->next_answered;
        *(session->next_answered ? &session->next_answered->prev_answered
                                 : &session->server->answered_end) = session->prev_answered;
        session->prev_answered = NULL;
}

static struct hf_session *next_answered(const struct hf_server *server)
{
        struct hf_session *session = server->answered;

        while (session && session->in_batch)
                session = session->next_answered;
        return session;
}

void hf_sessions_resume(struct hf_server *server)
{
        struct hf_session *session;

        while ((session = next_answered(server))) {
                leave_answered(session);
                hf_session_resume(session);
        }
}

void hf_session_free(struct hf_session *session)
{
        if (session->cancel)
                session->cancel(session->job);
        leave_answered(session);
        unlink_session(session);
        (void)epoll_ctl(poll_of(session), EPOLL_CTL_DEL, session->fd, NULL);
        /* Its client learns of it also where a worker that hangs has a copy of the descriptor. */
        (void)shutdown(session->fd, SHUT_RDWR);
        (void)close(session->fd);
        give_slot_back(session);
}

void hf_session_close(struct hf_session *session)
{
        struct hf_server *server = session->server;
        uint32_t owner = session->owner;
        bool own = session->own;

        hf_log(HF_LOG_DEBUG, MODULE, "client %llu (pid %d) left", (unsigned long long)session->id,
               (int)session->peer_pid);
        /* From here on the end is certain, though we be killed on the way. */
        hf_exchange_mark(&session->exchange, HF_SESSION_CLOSING, 0);
        if (owner) {
                hf_departure_session_leaves(server, owner, own);
                session->owner = 0;
                hf_departure_session_changed(server, owner, own);
        }
        hf_session_free(session);
        hf_server_check_idle(server);
}
