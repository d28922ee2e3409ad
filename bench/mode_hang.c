/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A filesystem does not answer, and a VM waits for a lock there; another client
 * asks on, by the timetable. Then the process that serves is killed, several times:
 * from the kill to the next answer. The filesystem is stopped by who calls this.
 */

#include "modes.h"
#include "scene.h"
#include "timetable.h"

#include <err.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define DISKS     100
#define DURING_NS 1000000000u
#define KILLS     11

/* So that the request there has begun to hang. */
#define SETTLE_USEC 20000

void mode_hang(const struct options *options)
{
        struct samples during = {0}, serving = {0};
        struct disks disks = {0};
        pid_t owner = owner_start(), waiting = owner_start();
        int fd = connect_for(options->socket, owner), stuck = connect_for(options->socket, waiting);
        struct call *there;
        struct reply reply;

        if (!options->daemon || !options->hung)
                errx(2, "hang: which daemon, and which file? (--daemon, --hung)");
        (void)prctl(PR_SET_TIMERSLACK, 1UL);
        there = call_acquire(options->hung);
        disks_prepare(&disks, options->folder, DISKS);
        samples_reserve(&during, 2000);
        samples_reserve(&serving, KILLS);

        wire_send(stuck, there, 1);
        (void)usleep(SETTLE_USEC);
        (void)call_on_time(fd, &disks, now_ns() + DURING_NS, -1, &during);
        for (int i = 0; i < KILLS; i++) {
                uint64_t begin;

                (void)usleep(SETTLE_USEC);
                begin = kill_server(options->daemon);
                wire_call(fd, disks.acquire[0], "acquire");
                samples_add(&serving, now_ns() - begin);
                wire_call(fd, disks.release[0], "release");
        }
        if (wire_receive(stuck, MSG_DONTWAIT, &reply) == 0)
                errx(1, "the filesystem answered: nothing hung");

        samples_sort(&during);
        samples_sort(&serving);
        printf("{\"mode\": \"hang\", ");
        samples_print(&during, "during");
        samples_print(&serving, "serving");
        printf("\"calls\": %zu}\n", during.count);
        samples_clear(&during);
        samples_clear(&serving);
        (void)close(fd);
        (void)close(stuck);
        owner_end(owner);
        owner_end(waiting);
        disks_clear(&disks);
}
