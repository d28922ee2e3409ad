/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A VM that ignores SIGTERM closes its own connection with a lock held. The
 * daemon sets out to kill it; meanwhile another client asks on.
 */

#include "modes.h"
#include "samples.h"
#include "scene.h"
#include "timetable.h"

#include <err.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Files of the other client. */
#define DISKS 100

/* By then either daemon has sent SIGKILL (virtlockd after 1.6 s). */
#define PATIENCE_NS 10000000000u

/* How long the same calls are made before the VM closes its connection, for comparison. */
#define BEFORE_NS 200000000u

static _Noreturn void be_stubborn(const char *socket, struct call *acquire, int ready, int go)
{
        char byte = 'r';
        int fd;

        (void)signal(SIGTERM, SIG_IGN);
        fd = connect_for(socket, getpid());
        wire_call(fd, acquire, "acquire");
        if (write(ready, &byte, 1) != 1)
                _exit(1);
        (void)!read(go, &byte, 1);
        (void)close(fd);
        for (;;)
                pause();
}

/* Starts the VM and returns its pidfd; closing *ret_go makes it close its connection. */
static int stubborn_start(const char *socket, struct call *acquire, int *ret_go)
{
        int ready[2], go[2], pidfd;
        char byte;
        pid_t vm;

        if (pipe(ready) < 0 || pipe(go) < 0)
                err(1, "pipe");
        vm = fork_bound();
        if (vm == 0) {
                (void)close(go[1]);
                be_stubborn(socket, acquire, ready[1], go[0]);
        }
        (void)close(ready[1]);
        (void)close(go[0]);
        pidfd = (int)syscall(SYS_pidfd_open, vm, 0);
        if (pidfd < 0)
                err(1, "pidfd_open");
        if (read(ready[0], &byte, 1) != 1)
                errx(1, "the VM process did not get its lock");
        (void)close(ready[0]);
        *ret_go = go[1];
        return pidfd;
}

void mode_stubborn(const struct options *options)
{
        struct samples quiet = {0}, during = {0};
        struct disks disks = {0};
        pid_t owner = owner_start();
        int fd = connect_for(options->socket, owner);
        uint64_t closed, dead;
        int go, pidfd;

        /*
         * A dead child that nobody has reaped would look alive to a daemon that
         * probes with kill(2), and this process may be waiting for that daemon.
         */
        (void)signal(SIGCHLD, SIG_IGN);
        (void)prctl(PR_SET_TIMERSLACK, 1UL);
        disks_prepare(&disks, options->folder, options->count ? options->count : DISKS);
        samples_reserve(&quiet, 1000);
        samples_reserve(&during, 20000);
        pidfd = stubborn_start(options->socket, disks.acquire[0], &go);
        (void)call_on_time(fd, &disks, now_ns() + BEFORE_NS, -1, &quiet);

        (void)close(go);
        closed = now_ns();
        dead = call_on_time(fd, &disks, closed + PATIENCE_NS, pidfd, &during);
        if (!has_ended(pidfd))
                errx(1, "the daemon left the stubborn process alive");

        (void)close(fd);
        (void)close(pidfd);
        (void)kill(owner, SIGKILL);
        samples_sort(&quiet);
        samples_sort(&during);
        printf("{\"mode\": \"stubborn\", ");
        samples_print(&quiet, "quiet");
        samples_print(&during, "during");
        printf("\"calls\": %zu, \"killed_after_ms\": %.1f}\n", during.count,
               (double)(dead - closed) / 1e6);
        samples_clear(&quiet);
        samples_clear(&during);
        disks_clear(&disks);
}
