/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Many connections, each with one call under way and its own files.
 *
 * All of them first acquire all their files, then all release them, and so on:
 * the rate of acquires is that of the first kind of phase alone. A whole phase
 * is always finished, so nothing is held at the end. The load generator's own
 * processor time is printed too: near 1.0 means that it was the slower side
 * and the daemon could do more than the figure says.
 */

#include "modes.h"
#include "samples.h"
#include "scene.h"
#include "usage.h"

#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define CONNECTIONS          32
#define DISKS_PER_CONNECTION 100

struct connection {
        int fd;
        size_t first; /* of its files */
        size_t done;  /* in this phase */
        uint64_t sent;
};

struct load {
        int epoll;
        size_t connections;
        struct connection *connection;
        struct disks disks;
};

static void send_next(struct connection *connection, struct call **calls)
{
        connection->sent = now_ns();
        wire_send(connection->fd, calls[connection->first + connection->done],
                  (uint32_t)connection->done);
}

/* Takes an answer; sends the next call. Returns 1 when the connection has finished its phase. */
static size_t answered(struct connection *connection, struct call **calls, struct samples *samples)
{
        struct reply reply;

        if (wire_receive(connection->fd, MSG_DONTWAIT, &reply) < 0)
                return 0;
        samples_add(samples, now_ns() - connection->sent);
        wire_expect_ok(&reply, (uint32_t)connection->done, "acquire or release");
        connection->done++;
        if (connection->done == DISKS_PER_CONNECTION)
                return 1;
        send_next(connection, calls);
        return 0;
}

/* One phase: every connection sends all its calls. Returns how long it took. */
static uint64_t run_phase(struct load *load, struct call **calls, struct samples *samples)
{
        struct epoll_event event[64];
        uint64_t begin = now_ns();
        size_t finished = 0;

        for (size_t i = 0; i < load->connections; i++) {
                load->connection[i].done = 0;
                send_next(&load->connection[i], calls);
        }
        while (finished < load->connections) {
                int ready = epoll_wait(load->epoll, event, 64, -1);

                if (ready < 0)
                        err(1, "epoll_wait");
                for (int i = 0; i < ready; i++)
                        finished += answered(event[i].data.ptr, calls, samples);
        }
        return now_ns() - begin;
}

static void load_open(struct load *load, const struct options *options, pid_t owner)
{
        load->connections = options->count ? options->count : CONNECTIONS;
        load->connection = calloc(load->connections, sizeof(*load->connection));
        load->epoll = epoll_create1(EPOLL_CLOEXEC);
        if (!load->connection || load->epoll < 0)
                err(1, "cannot set up");
        disks_prepare(&load->disks, options->folder, load->connections * DISKS_PER_CONNECTION);
        for (size_t i = 0; i < load->connections; i++) {
                struct connection *connection = &load->connection[i];
                struct epoll_event event = {.events = EPOLLIN, .data.ptr = connection};

                connection->fd = connect_for(options->socket, owner);
                connection->first = i * DISKS_PER_CONNECTION;
                if (epoll_ctl(load->epoll, EPOLL_CTL_ADD, connection->fd, &event) < 0)
                        err(1, "epoll_ctl");
        }
}

static void load_close(struct load *load)
{
        for (size_t i = 0; i < load->connections; i++)
                (void)close(load->connection[i].fd);
        (void)close(load->epoll);
        free(load->connection);
        disks_clear(&load->disks);
}

void mode_conc(const struct options *options)
{
        struct samples acquire = {0}, release = {0};
        uint64_t acquiring = 0, releasing = 0, self, daemon = 0;
        struct load load = {0};
        pid_t owner = owner_start();
        double elapsed;

        load_open(&load, options, owner);
        samples_reserve(&acquire, (size_t)(options->seconds * 400000));
        samples_reserve(&release, acquire.room);
        (void)run_phase(&load, load.disks.acquire, &acquire);
        (void)run_phase(&load, load.disks.release, &release);
        acquire.count = release.count = 0;

        if (options->daemon)
                daemon = cpu_of_tree(options->daemon);
        self = cpu_of_self();
        while ((double)(acquiring + releasing) < options->seconds * 1e9) {
                acquiring += run_phase(&load, load.disks.acquire, &acquire);
                releasing += run_phase(&load, load.disks.release, &release);
        }
        elapsed = (double)(acquiring + releasing);
        printf("{\"mode\": \"conc\", \"client_cpu\": %.3f, ",
               (double)(cpu_of_self() - self) / elapsed);
        if (options->daemon)
                printf("\"daemon_cpu\": %.3f, ",
                       (double)(cpu_of_tree(options->daemon) - daemon) / elapsed);
        load_close(&load);
        owner_end(owner);
        samples_sort(&acquire);
        samples_sort(&release);
        samples_print(&acquire, "acquire");
        samples_print(&release, "release");
        printf("\"acquires_per_s\": %.1f, \"releases_per_s\": %.1f, \"acquires\": %zu}\n",
               (double)acquire.count * 1e9 / (double)acquiring,
               (double)release.count * 1e9 / (double)releasing, acquire.count);
        samples_clear(&acquire);
        samples_clear(&release);
}
