/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * One connection, one call at a time: acquire a file, release it, take the next
 * one. Each call is timed by itself. What is measured is a round trip over a
 * socket plus the daemon's open, lock, unlock and close.
 */

#include "modes.h"
#include "samples.h"
#include "scene.h"

#include <stdio.h>
#include <unistd.h>

/* Enough that no path is warm in a one-entry cache, few enough to fit in the dentry cache. */
#define DISKS 1000

/* Not timed: the daemon's first allocations, and both programs' first page faults. */
#define WARM_UP 200

static void one_cycle(int fd, struct disks *disks, size_t i, struct samples *acquire,
                      struct samples *release)
{
        uint64_t start = now_ns(), middle;

        wire_call(fd, disks->acquire[i], "acquire");
        middle = now_ns();
        wire_call(fd, disks->release[i], "release");
        samples_add(release, now_ns() - middle);
        samples_add(acquire, middle - start);
}

void mode_seq(const struct options *options)
{
        struct samples acquire = {0}, release = {0};
        struct disks disks = {0};
        pid_t owner = owner_start();
        int fd = connect_for(options->socket, owner);
        uint64_t begin, end;
        size_t i = 0;

        disks_prepare(&disks, options->folder, options->count ? options->count : DISKS);
        samples_reserve(&acquire, (size_t)(options->seconds * 200000) + WARM_UP);
        samples_reserve(&release, acquire.room);
        while (i < WARM_UP)
                one_cycle(fd, &disks, i++ % disks.count, &acquire, &release);
        acquire.count = release.count = 0;

        begin = now_ns();
        end = begin + (uint64_t)(options->seconds * 1e9);
        while (now_ns() < end)
                one_cycle(fd, &disks, i++ % disks.count, &acquire, &release);
        end = now_ns();

        (void)close(fd);
        owner_end(owner);
        samples_sort(&acquire);
        samples_sort(&release);
        printf("{\"mode\": \"seq\", ");
        samples_print(&acquire, "acquire");
        samples_print(&release, "release");
        printf("\"pairs_per_s\": %.1f, \"pairs\": %zu}\n",
               (double)acquire.count * 1e9 / (double)(end - begin), acquire.count);
        samples_clear(&acquire);
        samples_clear(&release);
        disks_clear(&disks);
}
