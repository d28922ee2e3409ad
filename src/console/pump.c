/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What flows: from the guest into the ring and to its readers, from its writer to the guest.
 *
 * A kill at any place loses and doubles nothing, as bytes go from one place in the kernel to
 * another in one call each, and of what is copied into the ring it was noted before how much that
 * would be (ring.h).
 */
#include "console/server.h"

#include "base/clock.h"
#include "console/program.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

/* Bytes of one call at most: what a pipe has room for. */
#define PIECE_MAX 65536

/* Pieces in a turn of the loop, before others get theirs. */
#define PIECES_PER_TURN 16

static uint64_t filling(int pipe_fd)
{
        int bytes = 0;

        return ioctl(pipe_fd, FIONREAD, &bytes) == 0 && bytes > 0 ? (uint64_t)bytes : 0;
}

/* ---- from the guest ---- */

/* A terminal whose other side is gone has no splice any more, and one of an old kernel never had.
 */
static bool has_hung_up(int fd)
{
        struct pollfd p = {.fd = fd, .events = POLLIN};

        return poll(&p, 1, 0) > 0 && (p.revents & (POLLHUP | POLLERR));
}

/* Without splice: a kill between the two steps loses a piece. */
static ssize_t read_plainly(struct hf_console *console)
{
        struct iovec room[2];
        int n = hf_ring_room(&console->ring, console->bytes, 4096, room);
        ssize_t got = readv(console->fd, room, n);

        if (got <= 0)
                return got < 0 ? -errno : 0;
        hf_ring_expect(&console->ring, (size_t)got);
        hf_ring_arrived(&console->ring, hf_con_server_wall_clock(console->server));
        return got;
}

/* Into the pipe. Bytes; 0: the device has ended; or a negative errno. */
static ssize_t fetch(struct hf_console *console)
{
        ssize_t n;

        if (console->plain_read)
                return read_plainly(console);
        n = splice(console->fd, NULL, console->out_pipe[1], NULL, PIECE_MAX, SPLICE_F_NONBLOCK);
        if (n >= 0)
                return n;
        if (errno != EINVAL)
                return -errno;
        if (has_hung_up(console->fd))
                return 0;
        console->plain_read = true;
        return read_plainly(console);
}

/* What is in the pipe goes into the ring. */
static void store(struct hf_console *console)
{
        uint64_t left;

        while ((left = filling(console->out_pipe[0])) > 0) {
                struct iovec room[2];
                int n = hf_ring_room(&console->ring, console->bytes,
                                     left < PIECE_MAX ? (size_t)left : PIECE_MAX, room);
                size_t len = 0;

                for (int i = 0; i < n; i++)
                        len += room[i].iov_len;
                hf_ring_expect(&console->ring, len);
                if (readv(console->out_pipe[0], room, n) != (ssize_t)len)
                        (void)hf_ring_recover(&console->ring, (size_t)filling(console->out_pipe[0]),
                                              hf_con_server_wall_clock(console->server));
                else
                        hf_ring_arrived(&console->ring, hf_con_server_wall_clock(console->server));
        }
}

/* False: there is nothing more to come. */
static bool take_in(struct hf_console *console)
{
        ssize_t n = -EAGAIN;

        for (int i = 0; i < PIECES_PER_TURN; i++) {
                n = fetch(console);
                if (n <= 0)
                        break;
        }
        store(console);
        return n > 0 || n == -EAGAIN || n == -EINTR;
}

static void give_out(struct hf_console *console)
{
        struct hf_con_session *s = NULL;

        /* One whose socket is full is not asked again before there is room. */
        while ((s = hf_console_next_client(console, s)))
                if (!(s->client.events & EPOLLOUT))
                        hf_con_client_push(s);
        hf_con_link_kick(console->server, HF_CON_TRANSCRIPT);
}

/* ---- to the guest ---- */

/* What has left its writer, and is not with the guest. */
static uint64_t pending(const struct hf_console *console)
{
        return filling(console->in_pipe[0]) + (console->plain_end - console->plain_at);
}

/* Who is served: those that leave, in their order, then the writer. */
static struct hf_con_session *next_source(const struct hf_console *console)
{
        struct hf_con_session *s = NULL, *first = NULL;

        while ((s = hf_console_next_client(console, s)))
                if (hf_con_client_leaving(&s->client) &&
                    (!first || s->client.turn < first->client.turn))
                        first = s;
        return first ? first : hf_console_writer(console);
}

/* From the socket of one that leaves into the pipe: exactly so much as was there then. */
static ssize_t move_rest(struct hf_console *console, struct hf_con_client *client)
{
        uint64_t left = hf_con_client_leaving(client) & HF_CON_LEAVING_BYTES;
        ssize_t n;

        if (!left)
                return 0;
        client->pipe_before = filling(console->in_pipe[0]);
        atomic_signal_fence(memory_order_seq_cst);
        atomic_store(&client->leaving, HF_CON_LEAVING | HF_CON_LEAVING_MOVING | left);
        n = splice(client->data_fd, NULL, console->in_pipe[1], NULL, (size_t)left,
                   SPLICE_F_NONBLOCK);
        if (n < 0 && errno == EAGAIN && client->pipe_before == 0)
                n = 0;
        /* Nothing is there any more, whatever it was. */
        if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
                left = 0;
        atomic_store(&client->leaving, HF_CON_LEAVING | (left - (n > 0 ? (uint64_t)n : 0)));
        return n;
}

static ssize_t move_in(struct hf_console *console, struct hf_con_session *session)
{
        struct hf_con_client *client = &session->client;
        ssize_t n;

        if (hf_con_client_leaving(client))
                return move_rest(console, client);
        if (client->eof)
                return 0;
        n = splice(client->data_fd, NULL, console->in_pipe[1], NULL, PIECE_MAX, SPLICE_F_NONBLOCK);
        client->eof = n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR);
        if (n > 0)
                client->last_input = hf_con_server_wall_clock(console->server);
        return n;
}

/* Of a kernel that does not splice into terminals. */
static ssize_t write_plainly(struct hf_console *console)
{
        ssize_t n;

        if (console->fd < 0 || !pending(console))
                return 0;
        if (console->plain_at == console->plain_end) {
                n = read(console->in_pipe[0], console->plain, sizeof(console->plain));
                if (n <= 0)
                        return n;
                console->plain_at = 0;
                console->plain_end = (uint32_t)n;
        }
        /* It may take less than there is. */
        n = write(console->fd, console->plain + console->plain_at,
                  console->plain_end - console->plain_at);
        if (n > 0)
                console->plain_at += (uint32_t)n;
        return n;
}

static ssize_t move_out(struct hf_console *console)
{
        ssize_t n;

        if (console->plain_write)
                return write_plainly(console);
        n = splice(console->in_pipe[0], NULL, console->fd, NULL, PIECE_MAX, SPLICE_F_NONBLOCK);
        if (n < 0 && errno == EINVAL && !has_hung_up(console->fd)) {
                console->plain_write = true;
                return write_plainly(console);
        }
        return n;
}

/* Reads away: what nobody is to get, or the rest of one whose time is over. */
static uint64_t drop(int fd, uint64_t most)
{
        char bytes[4096];
        uint64_t dropped = 0;

        while (dropped < most) {
                uint64_t left = most - dropped;
                ssize_t n = read(fd, bytes, left < sizeof(bytes) ? (size_t)left : sizeof(bytes));

                if (n <= 0)
                        break;
                dropped += (uint64_t)n;
        }
        return dropped;
}

/* The guest has not taken it in time. */
static void give_up_rest(struct hf_console *console, struct hf_con_session *session)
{
        struct hf_con_client *client = &session->client;
        uint64_t left = hf_con_client_leaving(client) & HF_CON_LEAVING_BYTES;

        client->not_written += console->plain_end - console->plain_at;
        console->plain_at = console->plain_end;
        client->not_written += drop(console->in_pipe[0], filling(console->in_pipe[0]));
        client->not_written += drop(client->data_fd, left);
        hf_con_client_left(session);
}

static void check_rest(struct hf_console *console, struct hf_con_session *session)
{
        const struct hf_con_client *client = &session->client;

        if (!(hf_con_client_leaving(client) & HF_CON_LEAVING_BYTES) && !pending(console))
                hf_con_client_left(session);
        else if (hf_con_server_now(console->server) >= client->deadline)
                give_up_rest(console, session);
}

static void pump_in(struct hf_console *console)
{
        for (int i = 0; i < PIECES_PER_TURN; i++) {
                struct hf_con_session *source = next_source(console);
                ssize_t in = source ? move_in(console, source) : 0;
                ssize_t out = pending(console) ? move_out(console) : 0;

                if (out > 0)
                        console->written += (uint64_t)out;
                if (source && hf_con_client_leaving(&source->client))
                        check_rest(console, source);
                if (in <= 0 && out <= 0 && next_source(console) == source)
                        break;
        }
}

/* ---- both ---- */

static void want(struct hf_console *console)
{
        uint32_t events = EPOLLIN | (pending(console) ? EPOLLOUT : 0);
        struct hf_con_session *s = NULL;

        if (console->source && events != console->events)
                (void)sd_event_source_set_io_events(console->source, events);
        console->events = events;
        while ((s = hf_console_next_client(console, s)))
                hf_con_client_want(s);
}

static void pump_out(struct hf_console *console)
{
        bool more = take_in(console);

        give_out(console);
        if (!more)
                hf_console_end(console, "%s", "");
}

static int on_device(sd_event_source *source, int fd, uint32_t revents, void *data)
{
        struct hf_console *console = data;

        (void)source;
        (void)fd;
        if (revents & (EPOLLIN | EPOLLHUP | EPOLLERR))
                pump_out(console);
        if (revents & EPOLLOUT)
                hf_console_pump(console);
        return 0;
}

void hf_console_resume(struct hf_console *console)
{
        if (console->state != HF_CONSOLE_HELD)
                return;
        pump_out(console);
        hf_console_pump(console);
}

int hf_console_watch(struct hf_console *console)
{
        /* A successor watches it, and then hears the guard's answer that it was taken once more. */
        if (console->source)
                return 0;
        console->events = EPOLLIN;
        return sd_event_add_io(console->server->event, &console->source, console->fd, EPOLLIN,
                               on_device, console);
}

void hf_console_take_rest(struct hf_console *console)
{
        if (console->fd >= 0)
                while (take_in(console) && poll(&(struct pollfd){console->fd, POLLIN, 0}, 1, 0) > 0)
                        ;
        give_out(console);
}

void hf_console_pump(struct hf_console *console)
{
        if (console->state != HF_CONSOLE_HELD)
                return;
        pump_in(console);
        want(console);
}

bool hf_console_wants_input(const struct hf_console *console, const struct hf_con_session *session)
{
        if (hf_con_client_leaving(&session->client))
                return false;
        if (!hf_console_is_writer(console, session))
                return true;
        return console->state == HF_CONSOLE_HELD && next_source(console) == session &&
               !pending(console);
}

void hf_console_input(struct hf_console *console, struct hf_con_session *session)
{
        struct hf_con_client *client = &session->client;

        if (hf_con_client_leaving(client))
                return;
        if (hf_console_is_writer(console, session)) {
                hf_console_pump(console);
                return;
        }
        /* A watcher types in vain. */
        if (!drop(client->data_fd, PIECE_MAX))
                client->eof = recv(client->data_fd, &(char){0}, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
}
