/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What a held lock costs in memory: the daemon's memory before and after many
 * acquires. Wants a freshly started daemon, as memory that a busy one has had
 * before is not asked for again.
 *
 * Growth alone would call a table free of charge that was allocated and locked
 * in memory at the start. So a shared map or state file is counted in whole,
 * from the first byte; private memory and libraries by their growth.
 */

#include "modes.h"
#include "samples.h"
#include "scene.h"
#include "usage.h"

#include <err.h>
#include <stdio.h>
#include <unistd.h>

#define LOCKS 10000

static uint64_t map_of(const struct memory *memory)
{
        return memory->shmem > memory->state ? memory->shmem : memory->state;
}

static void print_memory(const struct memory *memory, const char *name)
{
        printf("\"%s\": {\"anon\": %ju, \"file\": %ju, \"map\": %ju}, ", name,
               (uintmax_t)memory->anon, (uintmax_t)memory->file, (uintmax_t)map_of(memory));
}

void mode_hold(const struct options *options)
{
        size_t locks = options->count ? options->count : LOCKS;
        struct memory before, after;
        struct disks disks = {0};
        pid_t owner = owner_start();
        int fd = connect_for(options->socket, owner);
        uint64_t begin, middle, end;
        double growth;

        if (!options->daemon)
                errx(2, "hold: which process is the daemon? (--daemon)");
        disks_prepare(&disks, options->folder, locks);
        /* The first request brings in code and buffers that are no part of a lock. */
        wire_call(fd, disks.acquire[0], "acquire");
        wire_call(fd, disks.release[0], "release");
        memory_read(options->daemon, options->state, &before);

        begin = now_ns();
        for (size_t i = 0; i < locks; i++)
                wire_call(fd, disks.acquire[i], "acquire");
        middle = now_ns();
        memory_read(options->daemon, options->state, &after);
        end = now_ns();
        for (size_t i = 0; i < locks; i++)
                wire_call(fd, disks.release[i], "release");
        end = now_ns() - end;

        growth = (double)after.anon - (double)before.anon + (double)after.file -
                 (double)before.file;
        printf("{\"mode\": \"hold\", \"locks\": %zu, ", locks);
        print_memory(&before, "before");
        print_memory(&after, "after");
        printf("\"bytes_per_lock\": %.1f, ", (growth + (double)map_of(&after)) / (double)locks);
        printf("\"total_bytes\": %ju, ", (uintmax_t)(after.anon + after.file + map_of(&after)));
        printf("\"acquire_mean_us\": %.3f, \"release_mean_us\": %.3f}\n",
               (double)(middle - begin) / 1e3 / (double)locks, (double)end / 1e3 / (double)locks);
        (void)close(fd);
        owner_end(owner);
        disks_clear(&disks);
}
