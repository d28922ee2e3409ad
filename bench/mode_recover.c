/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The process that serves is killed with many locks held; another one goes on.
 * From the kill to the answer to the next request, on a connection that was open
 * before. For a daemon that has a supervisor.
 */

#include "modes.h"
#include "samples.h"
#include "scene.h"

#include <err.h>
#include <stdio.h>
#include <unistd.h>

#define LOCKS  10000
#define ROUNDS 11

/* Pause before each kill: the last server is done with what follows a start. */
#define SETTLE_USEC 20000

void mode_recover(const struct options *options)
{
        size_t locks = options->count ? options->count : LOCKS;
        struct samples samples = {0};
        struct disks disks = {0};
        pid_t owner = owner_start();
        int fd = connect_for(options->socket, owner);

        if (!options->daemon)
                errx(2, "recover: which process is the daemon? (--daemon)");
        disks_prepare(&disks, options->folder, locks + 1);
        samples_reserve(&samples, ROUNDS);
        for (size_t i = 0; i < locks; i++)
                wire_call(fd, disks.acquire[i], "acquire");
        for (int i = 0; i < ROUNDS; i++) {
                uint64_t begin;

                (void)usleep(SETTLE_USEC);
                begin = kill_server(options->daemon);
                wire_call(fd, disks.acquire[locks], "acquire");
                samples_add(&samples, now_ns() - begin);
                wire_call(fd, disks.release[locks], "release");
        }
        for (size_t i = 0; i < locks; i++)
                wire_call(fd, disks.release[i], "release");
        samples_sort(&samples);
        printf("{\"mode\": \"recover\", ");
        samples_print(&samples, "serving");
        printf("\"locks\": %zu}\n", locks);
        samples_clear(&samples);
        (void)close(fd);
        owner_end(owner);
        disks_clear(&disks);
}
