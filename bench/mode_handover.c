/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Hand-over: from the moment at which a holder sends its release to the one at which the
 * next in line has the lock.
 *
 * Many wait for one file. Whoever has it gives it back when the one before is in line again, which
 * a call of somebody else's shows: what the daemon does for that is no part of a hand-over. At
 * the same time, with the same daemon, another file goes from a process that holds it for
 * a while to one that asks for it every 10 ms, which is what can be done where nobody waits in
 * line.
 */

#include "modes.h"
#include "samples.h"
#include "scene.h"

#include <err.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define WAITERS    50
#define POLL_USEC  10000
#define POLLED_MAX 4096
#define HELD_USEC  5000 /* up to three times as long, so that releases fall anywhere */
#define GRANTED    1

/* What the two processes of the polled file tell each other. */
struct polled {
        _Atomic uint64_t released; /* when it was sent; 0: somebody has the file */
        _Atomic size_t count;
        _Atomic bool stop;
        uint64_t ns[POLLED_MAX];
};

static int connect_client(const char *socket)
{
        struct call *call = call_client("lockload");
        int fd = wire_connect(socket);

        wire_call(fd, call, "client");
        free(call);
        return fd;
}

/* ---- the one that polls ---- */

static bool try_acquire(int fd, struct call *call, uint32_t serial)
{
        struct reply reply;

        wire_send(fd, call, serial);
        (void)wire_receive(fd, 0, &reply);
        return reply.status == 0;
}

static void hold_and_release(const char *socket, const struct disks *disks, struct polled *polled)
{
        int fd = connect_client(socket);
        unsigned int chance = 1;
        uint32_t serial = 1;

        while (!polled->stop) {
                if (polled->released || !try_acquire(fd, disks->acquire[1], ++serial)) {
                        (void)usleep(200);
                        continue;
                }
                (void)usleep(HELD_USEC + (unsigned int)rand_r(&chance) % (2 * HELD_USEC));
                polled->released = now_ns();
                wire_call(fd, disks->release[1], "release");
        }
        (void)close(fd);
        _exit(0);
}

static void poll_for_it(const char *socket, const struct disks *disks, struct polled *polled)
{
        int fd = connect_client(socket);
        uint32_t serial = 1;

        while (!polled->stop) {
                uint64_t released;

                (void)usleep(POLL_USEC);
                released = polled->released;
                if (!try_acquire(fd, disks->acquire[1], ++serial))
                        continue;
                if (released && polled->count < POLLED_MAX)
                        polled->ns[polled->count++] = now_ns() - released;
                wire_call(fd, disks->release[1], "release");
                polled->released = 0;
        }
        (void)close(fd);
        _exit(0);
}

/* ---- those who wait in line ---- */

struct line {
        int epoll;
        size_t count;
        int *fd;
        struct call *wait;
        struct call *release;
        uint32_t serial;
        int other;                /* a connection beside the line, which takes and */
        struct call *take, *give; /* gives back another file */
};

static void line_open(struct line *line, const struct options *options, const struct disks *disks)
{
        line->count = (options->count ? options->count : WAITERS) + 1;
        line->fd = calloc(line->count, sizeof(*line->fd));
        line->epoll = epoll_create1(EPOLL_CLOEXEC);
        line->wait = call_wait_for(disks->path[0]);
        line->release = disks->release[0];
        line->other = connect_client(options->socket);
        line->take = disks->acquire[2];
        line->give = disks->release[2];
        if (!line->fd || line->epoll < 0)
                err(1, "cannot set up");
        for (size_t i = 0; i < line->count; i++) {
                struct epoll_event event = {.events = EPOLLIN, .data.u64 = i};

                line->fd[i] = connect_client(options->socket);
                if (epoll_ctl(line->epoll, EPOLL_CTL_ADD, line->fd[i], &event) < 0)
                        err(1, "epoll_ctl");
        }
}

static void line_close(struct line *line)
{
        for (size_t i = 0; i < line->count; i++)
                (void)close(line->fd[i]);
        (void)close(line->epoll);
        (void)close(line->other);
        free(line->fd);
        free(line->wait);
}

static void enter_line(struct line *line, size_t who)
{
        wire_send(line->fd[who], line->wait, ++line->serial);
}

/* Connections are served in the order in which they ask. */
static void let_it_settle(struct line *line)
{
        wire_call(line->other, line->take, "acquire");
        wire_call(line->other, line->give, "release");
}

/* Waits until somebody has it. An answer to a release, which has no body, is not that. */
static size_t next_holder(struct line *line, uint64_t *ret_when)
{
        for (;;) {
                struct epoll_event event;
                struct reply reply;

                if (epoll_wait(line->epoll, &event, 1, -1) != 1)
                        err(1, "epoll_wait");
                if (wire_receive(line->fd[event.data.u64], MSG_DONTWAIT, &reply) < 0)
                        continue;
                *ret_when = now_ns();
                if (reply.status != 0)
                        errx(1, "refused: %s", reply.text);
                if (reply.first == GRANTED)
                        return (size_t)event.data.u64;
        }
}

/* In the order of asking, so the one who is next is known. */
static void hand_over(struct line *line, double seconds, struct samples *samples)
{
        uint64_t end, when;
        size_t holder;

        for (size_t i = 0; i < line->count; i++)
                enter_line(line, i);
        holder = next_holder(line, &when);
        end = now_ns() + (uint64_t)(seconds * 1e9);
        while (now_ns() < end) {
                size_t last = holder, expected = (holder + 1) % line->count;
                uint64_t begin;

                let_it_settle(line);
                begin = now_ns();
                wire_send(line->fd[last], line->release, ++line->serial);
                holder = next_holder(line, &when);
                if (holder != expected)
                        errx(1, "%zu is granted, but %zu was next in line", holder, expected);
                samples_add(samples, when - begin);
                enter_line(line, last);
        }
}

static struct polled *share(void)
{
        struct polled *polled = mmap(NULL, sizeof(*polled), PROT_READ | PROT_WRITE,
                                     MAP_SHARED | MAP_ANONYMOUS, -1, 0);

        if (polled == MAP_FAILED)
                err(1, "mmap");
        return polled;
}

void mode_handover(const struct options *options)
{
        struct samples samples = {0}, polled_samples = {0};
        struct polled *polled = share();
        struct disks disks = {0};
        struct line line = {0};
        pid_t children[2];

        (void)prctl(PR_SET_TIMERSLACK, 1UL);
        disks_prepare(&disks, options->folder, 3);
        samples_reserve(&samples, (size_t)(options->seconds * 200000));
        children[0] = fork_bound();
        if (children[0] == 0)
                hold_and_release(options->socket, &disks, polled);
        children[1] = fork_bound();
        if (children[1] == 0)
                poll_for_it(options->socket, &disks, polled);
        line_open(&line, options, &disks);
        hand_over(&line, options->seconds, &samples);
        line_close(&line);
        polled->stop = true;
        for (size_t i = 0; i < 2; i++)
                (void)waitpid(children[i], NULL, 0);

        samples_reserve(&polled_samples, polled->count + 1);
        for (size_t i = 0; i < polled->count; i++)
                samples_add(&polled_samples, polled->ns[i]);
        samples_sort(&samples);
        samples_sort(&polled_samples);
        printf("{\"mode\": \"handover\", ");
        samples_print(&samples, "handover");
        samples_print(&polled_samples, "polled");
        printf("\"ratio\": %.6f, \"handovers\": %zu, \"polled\": %zu}\n",
               (double)samples_at(&samples, 500) / (double)(samples_at(&polled_samples, 500) + 1),
               samples.count, polled_samples.count);
        samples_clear(&samples);
        samples_clear(&polled_samples);
        disks_clear(&disks);
        (void)munmap(polled, sizeof(*polled));
}
