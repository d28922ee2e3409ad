/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "scene.h"

#include "samples.h"

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* A disk needs a size for nobody here; one byte makes it a file that is not empty. */
static void create_disk(const char *path)
{
        int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

        if (fd < 0)
                err(1, "cannot create %s", path);
        if (pwrite(fd, "d", 1, 0) != 1)
                err(1, "cannot write to %s", path);
        (void)close(fd);
}

void disks_prepare(struct disks *disks, const char *folder, size_t count)
{
        disks->count = count;
        disks->path = calloc(count, sizeof(*disks->path));
        disks->acquire = calloc(count, sizeof(*disks->acquire));
        disks->release = calloc(count, sizeof(*disks->release));
        if (!disks->path || !disks->acquire || !disks->release)
                err(1, "out of memory");
        for (size_t i = 0; i < count; i++) {
                if (asprintf(&disks->path[i], "%s/vm-%06zu.qcow2", folder, i) < 0)
                        err(1, "out of memory");
                create_disk(disks->path[i]);
                disks->acquire[i] = call_acquire(disks->path[i]);
                disks->release[i] = call_release(disks->path[i]);
        }
}

void disks_clear(struct disks *disks)
{
        for (size_t i = 0; i < disks->count; i++) {
                free(disks->path[i]);
                free(disks->acquire[i]);
                free(disks->release[i]);
        }
        free(disks->path);
        free(disks->acquire);
        free(disks->release);
        *disks = (struct disks){0};
}

pid_t fork_bound(void)
{
        pid_t parent = getpid();
        pid_t child = fork();

        if (child < 0)
                err(1, "fork");
        if (child == 0) {
                if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
                        err(1, "prctl");
                /* The parent may have gone before the signal was asked for. */
                if (getppid() != parent)
                        _exit(1);
        }
        return child;
}

pid_t owner_start(void)
{
        pid_t child = fork_bound();

        while (child == 0)
                pause();
        return child;
}

void owner_end(pid_t owner)
{
        (void)kill(owner, SIGKILL);
        while (waitpid(owner, NULL, 0) < 0 && errno == EINTR)
                ;
}

int connect_for(const char *socket, pid_t owner)
{
        struct call *call = call_register(owner, "lockload");
        int fd = wire_connect(socket);

        wire_call(fd, call, "register");
        free(call);
        return fd;
}

uint64_t kill_server(pid_t supervisor)
{
        char path[64];
        FILE *file;
        int pid;

        (void)snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)supervisor,
                       (int)supervisor);
        file = fopen(path, "re");
        if (!file || fscanf(file, "%d", &pid) != 1)
                errx(1, "process %d has no child that serves", (int)supervisor);
        (void)fclose(file);
        if (kill(pid, SIGKILL) < 0)
                err(1, "kill");
        return now_ns();
}
