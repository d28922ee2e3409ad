/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "console/client.h"

#include "base/cleanup.h"
#include "console/program.h"

#include <errno.h>
#include <linux/sockios.h>
#include <pwd.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>

/* What is sent in one go: as much as a socket takes at once. */
#define PIECE_MAX 65536

static struct hf_con_out *out_of(struct hf_con_client *client)
{
        return &client->out[atomic_load_explicit(&client->out_index, memory_order_relaxed) & 1];
}

uint64_t hf_con_client_position(const struct hf_con_client *client)
{
        const struct hf_con_out *out =
                &client->out[atomic_load_explicit(&client->out_index, memory_order_relaxed) & 1];

        return out->position + out->vec.msg_len;
}

/* The record for the next call; the other one counts until it is chosen. */
static struct hf_con_out *fresh_out(struct hf_con_client *client, uint64_t position)
{
        uint32_t index = atomic_load_explicit(&client->out_index, memory_order_relaxed) & 1;
        struct hf_con_out *next = &client->out[!index];

        next->position = position;
        next->vec.msg_len = 0;
        atomic_signal_fence(memory_order_seq_cst);
        atomic_store_explicit(&client->out_index, !index, memory_order_release);
        atomic_signal_fence(memory_order_seq_cst);
        return next;
}

/* The name of a user of this machine; others would have to be asked for, which may take long. */
static void user_name(uid_t uid, char *ret, size_t size)
{
        hf_cleanup_file FILE *file = fopen("/etc/passwd", "re");
        const struct passwd *entry;

        (void)snprintf(ret, size, "uid %u", (unsigned int)uid);
        while (file && (entry = fgetpwent(file)))
                if (entry->pw_uid == uid) {
                        (void)snprintf(ret, size, "%s", entry->pw_name);
                        return;
                }
}

void hf_con_copy_plain(char *ret, size_t size, const char *text)
{
        size_t n = 0;

        for (; n + 1 < size && text[n]; n++)
                ret[n] = text[n] >= ' ' && text[n] <= '~' ? text[n] : '?';
        ret[n] = '\0';
}

void hf_con_client_who(const struct hf_con_session *session, const struct hf_console *console,
                       struct hf_con_who *ret)
{
        const struct hf_con_client *client = &session->client;
        uint64_t head = hf_ring_head(&console->ring), position = hf_con_client_position(client);
        bool writes = client->token && client->token == hf_console_writer_token(console);

        *ret = (struct hf_con_who){.role = writes ? HF_CONSOLE_WRITER : HF_CONSOLE_WATCHER,
                                   .pid = session->peer_pid,
                                   .uid = session->peer_uid,
                                   .since = client->since,
                                   .last_input = client->last_input,
                                   .behind = head > position ? head - position : 0,
                                   .skipped = client->skipped};
        (void)snprintf(ret->user, sizeof(ret->user), "%s", client->user);
        (void)snprintf(ret->via, sizeof(ret->via), "%s", session->via);
        (void)snprintf(ret->from, sizeof(ret->from), "%s", client->from);
}

int hf_con_client_prepare(struct hf_con_session *session, struct hf_console *console,
                          uint64_t position, const char *from)
{
        struct hf_con_client *client = &session->client;
        int pair[2];

        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
                return -errno;
        *client = (struct hf_con_client){.console = console->id,
                                         .data_fd = pair[0],
                                         .peer_fd = pair[1],
                                         .since = hf_con_server_wall_clock(session->server)};
        client->out[0].position = position;
        user_name(session->peer_uid, client->user, sizeof(client->user));
        hf_con_copy_plain(client->from, sizeof(client->from), from);
        return 0;
}

static int on_data(sd_event_source *source, int fd, uint32_t revents, void *data)
{
        struct hf_con_session *session = data;
        struct hf_con_client *client = &session->client;
        struct hf_console *console = hf_console_by_id(session->server, client->console);

        (void)source;
        (void)fd;
        if (!console)
                return 0;
        if (revents & EPOLLOUT)
                hf_con_client_push(session);
        if (revents & (EPOLLIN | EPOLLHUP))
                hf_console_input(console, session);
        /* Its stream is closed: what it typed last is on its way, and it takes nothing any more. */
        if (revents & (EPOLLHUP | EPOLLERR)) {
                client->deaf = true;
                if (session->fd >= 0)
                        hf_con_session_close(session);
                else
                        client->source = sd_event_source_disable_unref(client->source);
                return 0;
        }
        hf_con_client_want(session);
        return 0;
}

int hf_con_client_watch(struct hf_con_session *session)
{
        struct hf_con_client *client = &session->client;

        if (client->source || client->data_fd < 0)
                return 0;
        client->events = 0;
        return sd_event_add_io(session->server->event, &client->source, client->data_fd, 0, on_data,
                               session);
}

void hf_con_client_want(struct hf_con_session *session)
{
        struct hf_con_client *client = &session->client;
        const struct hf_console *console = hf_console_by_id(session->server, client->console);
        uint32_t events = 0;

        if (!client->source || !console)
                return;
        if (!client->deaf && hf_con_client_position(client) < hf_ring_head(&console->ring))
                events |= EPOLLOUT;
        if (!client->eof && hf_console_wants_input(console, session))
                events |= EPOLLIN;
        if (events == client->events)
                return;
        (void)sd_event_source_set_io_events(client->source, events);
        client->events = events;
}

static void skip(struct hf_con_session *session, uint64_t position, uint64_t first)
{
        struct hf_con_client *client = &session->client;
        struct hf_con_notice *notice = hf_con_client_notice(session, HF_CONSOLE_NOTICE_SKIPPED);

        notice->position = position;
        notice->count = first - position;
        (void)snprintf(notice->text, sizeof(notice->text),
                       "%llu bytes of output were skipped: this client took them too slowly",
                       (unsigned long long)notice->count);
        client->skipped += first - position;
        (void)fresh_out(client, first);
        hf_con_client_tell(session);
}

/* The last byte has gone: the stream ends. */
static void end_stream(struct hf_con_session *session, const struct hf_console *console)
{
        struct hf_con_client *client = &session->client;

        if (console->state != HF_CONSOLE_ENDED || client->ended || client->data_fd < 0)
                return;
        client->ended = true;
        (void)shutdown(client->data_fd, SHUT_WR);
}

/* One piece: 1 when it went, 0 when there is no room or nothing to send. */
static int push_piece(struct hf_con_session *session, struct hf_console *console)
{
        struct hf_con_client *client = &session->client;
        uint64_t position = hf_con_client_position(client);
        uint64_t first = hf_ring_first(&console->ring);
        struct hf_con_out *out;

        if (position < first) {
                skip(session, position, first);
                position = first;
        }
        if (position >= hf_ring_head(&console->ring))
                return 0;
        out = out_of(client);
        if (out->vec.msg_len)
                out = fresh_out(client, position);
        out->vec.msg_hdr = (struct msghdr){
                .msg_iov = out->iov,
                .msg_iovlen = (size_t)hf_ring_peek(&console->ring, console->bytes, position,
                                                   PIECE_MAX, out->iov)};
        if (sendmmsg(client->data_fd, &out->vec, 1, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
                client->deaf = errno != EAGAIN && errno != EINTR;
                return 0;
        }
        return 1;
}

void hf_con_client_push(struct hf_con_session *session)
{
        struct hf_con_client *client = &session->client;
        struct hf_console *console = hf_console_by_id(session->server, client->console);

        if (!client->token || !console || client->data_fd < 0 || session->fd < 0)
                return;
        while (!client->deaf && push_piece(session, console))
                ;
        if (hf_con_client_position(client) >= hf_ring_head(&console->ring))
                end_stream(session, console);
        hf_con_client_want(session);
}

void hf_con_client_leave(struct hf_con_session *session, const struct hf_con_who *by,
                         uint64_t limit_usec)
{
        struct hf_con_client *client = &session->client;
        struct hf_console *console = hf_console_by_id(session->server, client->console);
        int bytes = 0;

        if (by) {
                client->displaced_by = *by;
                client->was_displaced = true;
        }
        client->deadline = hf_con_server_now(session->server) + limit_usec;
        hf_con_server_wake_at(session->server, client->deadline);
        if (hf_con_client_leaving(client) || !console)
                return;
        (void)ioctl(client->data_fd, SIOCINQ, &bytes);
        client->turn = ++console->last_turn;
        client->not_written = 0;
        atomic_signal_fence(memory_order_seq_cst);
        atomic_store(&client->leaving, HF_CON_LEAVING | (uint64_t)(bytes > 0 ? bytes : 0));
}

void hf_con_clients_hurry(struct hf_console *console, uint64_t limit_usec)
{
        uint64_t latest = hf_con_server_now(console->server) + limit_usec;
        struct hf_con_session *s = NULL;

        while ((s = hf_console_next_client(console, s))) {
                if (!hf_con_client_leaving(&s->client) || s->client.deadline <= latest)
                        continue;
                s->client.deadline = latest;
                hf_con_server_wake_at(console->server, latest);
        }
}

/* It has taken the console back by then. */
static bool writes_again(const struct hf_con_session *session)
{
        const struct hf_console *console = hf_console_by_id(session->server,
                                                            session->client.console);

        return console && hf_console_is_writer(console, session);
}

static void tell_displaced(struct hf_con_session *session)
{
        struct hf_con_client *client = &session->client;
        struct hf_con_notice *notice;
        char who[512], lost[128] = "";

        notice = hf_con_client_notice(session, HF_CONSOLE_NOTICE_DISPLACED);
        notice->count = client->not_written;
        notice->has_client = true;
        notice->client = client->displaced_by;
        hf_con_who_text(&client->displaced_by, hf_con_server_wall_clock(session->server), who,
                        sizeof(who));
        if (client->not_written)
                (void)snprintf(lost, sizeof(lost),
                               "; %llu bytes that were typed did not reach the guest",
                               (unsigned long long)client->not_written);
        (void)snprintf(notice->text, sizeof(notice->text),
                       "the console was taken over by %s; you are watching now%s", who, lost);
}

void hf_con_client_left(struct hf_con_session *session)
{
        struct hf_con_client *client = &session->client;

        if (client->was_displaced && session->fd >= 0 && !writes_again(session))
                tell_displaced(session);
        client->was_displaced = false;
        atomic_signal_fence(memory_order_seq_cst);
        atomic_store(&client->leaving, 0);
        hf_con_client_tell(session);
        hf_con_client_want(session);
        if (session->fd < 0)
                hf_con_server_retry(session->server);
}

void hf_con_client_recover(struct hf_con_session *session, uint64_t in_pipe)
{
        struct hf_con_client *client = &session->client;
        uint64_t leaving = hf_con_client_leaving(client), left = leaving & HF_CON_LEAVING_BYTES;
        uint64_t moved = in_pipe > client->pipe_before ? in_pipe - client->pipe_before : 0;

        if (leaving & HF_CON_LEAVING_MOVING)
                atomic_store(&client->leaving, HF_CON_LEAVING | (moved < left ? left - moved : 0));
}

struct hf_con_notice *hf_con_client_notice(struct hf_con_session *session, uint32_t kind)
{
        struct hf_con_client *client = &session->client;
        struct hf_con_notice
                *notice = &client->notices[(client->notice_number + 1) % HF_CON_NOTICES];

        /* It counts from the next look on, at the end of this turn at the latest. */
        *notice = (struct hf_con_notice){.number = ++client->notice_number, .kind = kind};
        if (client->notice_number - client->told > HF_CON_NOTICES)
                client->told = client->notice_number - HF_CON_NOTICES;
        return notice;
}

void hf_con_client_tell(struct hf_con_session *session)
{
        struct hf_con_client *client = &session->client;

        while (client->told < client->notice_number) {
                const struct hf_con_notice
                        *n = &client->notices[(client->told + 1) % HF_CON_NOTICES];
                struct hf_console_client who;
                struct hf_console_stranger stranger;
                struct hf_console_notice wire = {.number = n->number,
                                                 .kind = n->kind,
                                                 .position = n->position,
                                                 .count = n->count,
                                                 .text = (char *)(uintptr_t)n->text};

                hf_con_put_client(&n->client, &who);
                hf_con_put_stranger(&n->stranger, &stranger);
                wire.client = n->has_client ? &who : NULL;
                wire.stranger = n->has_stranger ? &stranger : NULL;
                if (!hf_con_session_tell(session, HF_HOLDFAST_CONSOLE_NOTICE,
                                         (xdrproc_t)xdr_hf_console_notice, &wire))
                        return;
                client->told++;
        }
}

void hf_con_client_clear(struct hf_con_session *session)
{
        struct hf_con_client *client = &session->client;
        int data_fd = client->data_fd, peer_fd = client->peer_fd;

        client->source = sd_event_source_disable_unref(client->source);
        client->token = 0;
        client->data_fd = client->peer_fd = -1;
        atomic_signal_fence(memory_order_seq_cst);
        hf_close_fd(&data_fd);
        hf_close_fd(&peer_fd);
}
