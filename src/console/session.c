/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "console/session-private.h"

#include "base/cleanup.h"
#include "base/log.h"
#include "base/process.h"
#include "base/socket.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/mman.h>

#define MODULE "console.session"

_Static_assert(offsetof(struct hf_con_session_slot, session) == 0,
               "a session is at its slot's begin");

static void link_session(struct hf_con_session *session)
{
        struct hf_con_server *server = session->server;

        session->next = server->sessions;
        session->prev = &server->sessions;
        if (session->next)
                session->next->prev = &session->next;
        server->sessions = session;
        if (session->refused) {
                server->refused++;
                return;
        }
        server->clients[session->read_only]++;
        server->others += !session->owner;
}

static void unlink_session(struct hf_con_session *session)
{
        struct hf_con_server *server = session->server;

        *session->prev = session->next;
        if (session->next)
                session->next->prev = session->prev;
        if (session->refused) {
                server->refused--;
                return;
        }
        server->clients[session->read_only]--;
        server->others -= !session->owner;
}

/* A slot that was used before, or the next one; NULL where all are in use. */
static struct hf_con_session *take_slot(struct hf_con_server *server)
{
        struct hf_con_area *area = server->area;

        if (server->n_free_slots > 0)
                return &area->slots[server->free_slots[--server->n_free_slots]].session;
        return area->n_touched < area->n_slots ? &area->slots[area->n_touched++].session : NULL;
}

static void put_slot(struct hf_con_server *server, const struct hf_con_session *session)
{
        const struct hf_con_session_slot *slot = (const void *)session;

        server->free_slots[server->n_free_slots++] = (uint32_t)(slot - server->area->slots);
}

/* Its end is watched for even where nothing else is waited for. */
static int join(struct hf_con_session *session, uint32_t events)
{
        int r = 0;

        session->source = NULL;
        if (session->fd >= 0)
                r = sd_event_add_io(session->server->event, &session->source, session->fd, events,
                                    hf_con_session_serve, session);
        if (r >= 0)
                link_session(session);
        return r;
}

int hf_con_session_new(const struct hf_con_listener *listener, int fd_arg,
                       const struct hf_peer *peer, bool refused, struct hf_con_session **ret)
{
        hf_cleanup_fd int fd = fd_arg;
        struct hf_con_server *server = listener->server;
        struct hf_con_session *session = take_slot(server);
        char comm[HF_CON_NAME_MAX];
        int r;

        if (!session)
                return -ENOBUFS;
        *session = (struct hf_con_session){
                .server = server,
                .fd = fd,
                .read_only = listener->read_only,
                .owner = hf_con_is_owner(peer->uid),
                .refused = refused,
                .id = ++server->area->next_session,
                .connected = hf_con_server_wall_clock(server),
                .peer_pid = peer->pid,
                .peer_uid = peer->uid,
                .client = {.data_fd = -1, .peer_fd = -1},
        };
        if (hf_process_comm(peer->pid, comm, sizeof(comm)) >= 0)
                hf_con_copy_plain(session->via, sizeof(session->via), comm);
        r = join(session, EPOLLIN);
        if (r < 0) {
                put_slot(server, session);
                return r;
        }
        (void)hf_steal_fd(&fd);
        hf_exchange_mark(&session->exchange, HF_CON_SESSION_USED, 0);
        *ret = session;
        return 0;
}

bool hf_con_session_is_used(const struct hf_con_session *session)
{
        return hf_exchange_word(&session->exchange) & HF_CON_SESSION_USED;
}

void hf_con_session_settle(struct hf_con_session *session, bool crashed)
{
        if (!hf_exchange_replies(&session->exchange))
                session->intent = HF_CON_INTENT_NONE;
        if (crashed && session->serving && session->crashes < HF_CON_CRASHES_MAX)
                session->crashes++;
        session->serving = false;
        if (!session->client.token && session->intent != HF_CON_INTENT_ATTACH)
                session->client.data_fd = session->client.peer_fd = -1;
}

int hf_con_session_adopt(struct hf_con_session *session, struct hf_con_server *server)
{
        session->server = server;
        session->state = hf_exchange_replies(&session->exchange) ? HF_CON_SENDING : HF_CON_READING;
        return join(session, EPOLLIN);
}

static void give_back(uint8_t *buffer, size_t size)
{
        (void)madvise(buffer, size, MADV_REMOVE);
}

/* Its connection alone. */
static void close_connection(struct hf_con_session *session)
{
        int fd = session->fd;

        session->source = sd_event_source_disable_unref(session->source);
        session->fd = -1;
        atomic_signal_fence(memory_order_seq_cst);
        if (fd >= 0) {
                (void)shutdown(fd, SHUT_RDWR);
                (void)close(fd);
        }
}

void hf_con_session_free(struct hf_con_session *session)
{
        struct hf_con_session_slot *slot = slot_of(session);
        struct hf_con_server *server = session->server;

        hf_con_client_clear(session);
        close_connection(session);
        unlink_session(session);
        hf_exchange_mark(&session->exchange, 0, ~0U);
        give_back(slot->request, sizeof(slot->request));
        give_back(slot->answer, sizeof(slot->answer));
        put_slot(server, session);
        hf_con_server_retry(server);
        hf_con_server_check_idle(server);
}

void hf_con_session_close(struct hf_con_session *session)
{
        struct hf_console *console = hf_console_by_id(session->server, session->client.console);

        hf_log(HF_LOG_DEBUG, MODULE, "client %llu (pid %d) left", (unsigned long long)session->id,
               (int)session->peer_pid);
        if (!session->client.token || !console) {
                hf_con_session_free(session);
                return;
        }
        close_connection(session);
        hf_console_leave(console, session);
}
