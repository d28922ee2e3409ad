/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What the start of a VM costs: connect, register, two acquires, restrict, all
 * from the VM's own process, as its locks belong to it.
 *
 * Each round is a new process. A daemon kills the owner whose own connection
 * closes with locks held, and a restricted connection cannot release: so, as
 * libvirt does, the parent releases both files over a connection of its own,
 * and only then lets the VM process go. Only the five steps are timed.
 */

#include "modes.h"
#include "samples.h"
#include "scene.h"

#include <err.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

/* Pairs of files in turn. */
#define DISKS   1000

#define WARM_UP 20

struct stage {
        const struct options *options;
        struct disks disks;
        int control;      /* connection that releases */
        uint64_t *result; /* shared with the children */
};

/* The VM's process. `go` ends when the parent closes its end. */
static _Noreturn void be_vm(struct stage *stage, size_t first, int ready, int go)
{
        struct call *hello = call_register(getpid(), "lockload");
        struct call *restriction = call_restrict();
        char byte = 'r';
        uint64_t begin;
        int fd;

        *stage->result = 0;
        wire_rehearse(hello);
        wire_rehearse(restriction);
        wire_rehearse(stage->disks.acquire[first]);
        wire_rehearse(stage->disks.acquire[first + 1]);
        begin = now_ns();
        fd = wire_connect(stage->options->socket);
        wire_call(fd, hello, "register");
        wire_call(fd, stage->disks.acquire[first], "acquire");
        wire_call(fd, stage->disks.acquire[first + 1], "acquire");
        wire_call(fd, restriction, "restrict");
        *stage->result = now_ns() - begin;
        if (write(ready, &byte, 1) != 1)
                _exit(1);
        (void)!read(go, &byte, 1);
        _exit(0);
}

static void release_for(struct stage *stage, pid_t vm, size_t first)
{
        struct call *hello = call_register(vm, "lockload");

        wire_call(stage->control, hello, "register");
        wire_call(stage->control, stage->disks.release[first], "release");
        wire_call(stage->control, stage->disks.release[first + 1], "release");
        free(hello);
}

static uint64_t one_start(struct stage *stage, size_t first)
{
        int ready[2], go[2], status;
        char byte;
        pid_t vm;

        if (pipe(ready) < 0 || pipe(go) < 0)
                err(1, "pipe");
        vm = fork_bound();
        if (vm == 0) {
                (void)close(go[1]);
                be_vm(stage, first, ready[1], go[0]);
        }
        (void)close(ready[1]);
        (void)close(go[0]);
        if (read(ready[0], &byte, 1) != 1)
                errx(1, "the VM process did not get its locks");
        release_for(stage, vm, first);
        (void)close(go[1]);
        while (waitpid(vm, &status, 0) < 0 && errno == EINTR)
                ;
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
                errx(1, "the daemon ended a VM process that held nothing");
        (void)close(ready[0]);
        return *stage->result;
}

void mode_connect(const struct options *options)
{
        struct stage stage = {.options = options};
        struct samples samples = {0};
        pid_t owner = owner_start();
        uint64_t begin, end;
        size_t i = 0;

        disks_prepare(&stage.disks, options->folder, options->count ? options->count * 2 : DISKS);
        samples_reserve(&samples, (size_t)(options->seconds * 10000));
        stage.control = connect_for(options->socket, owner);
        stage.result = mmap(NULL, sizeof(*stage.result), PROT_READ | PROT_WRITE,
                            MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        if (stage.result == MAP_FAILED)
                err(1, "mmap");
        for (; i < WARM_UP; i++)
                (void)one_start(&stage, i * 2 % stage.disks.count);

        begin = now_ns();
        end = begin + (uint64_t)(options->seconds * 1e9);
        for (; now_ns() < end; i++)
                samples_add(&samples, one_start(&stage, i * 2 % stage.disks.count));
        end = now_ns();

        (void)close(stage.control);
        owner_end(owner);
        samples_sort(&samples);
        printf("{\"mode\": \"connect\", ");
        samples_print(&samples, "start");
        printf("\"starts\": %zu, \"starts_per_s\": %.1f}\n", samples.count,
               (double)samples.count * 1e9 / (double)(end - begin));
        samples_clear(&samples);
        disks_clear(&stage.disks);
        (void)munmap(stage.result, sizeof(*stage.result));
}
