/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/patience.h"

#include "cli/message.h"

#include "base/cleanup.h"
#include "base/clock.h"

#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>

/* Before it is said that something does not answer; who is there for it wants to know. */
#define SAY_MS 5000

/* As long as the daemon lets a request wait, unless it is told otherwise. */
#define GIVE_UP_MS 30000

/* How often the child is looked at meanwhile. */
#define LOOK_MS 500

/* What the child waits for; in memory of both. */
static struct waiting {
        _Atomic uint64_t since; /* CLOCK_MONOTONIC milliseconds; 0: it waits for nothing */
        char what[PATH_MAX];
} * waiting;

static uint64_t now_ms(void)
{
        return (uint64_t)hf_clock_msec(CLOCK_MONOTONIC);
}

void hf_patience_begin(const char *what)
{
        if (!waiting)
                return;
        (void)snprintf(waiting->what, sizeof(waiting->what), "%s", what);
        atomic_store(&waiting->since, now_ms());
}

void hf_patience_end(void)
{
        if (waiting)
                atomic_store(&waiting->since, 0);
}

/* Returns whether the child is to be given up. said: of which wait it was said. */
static int look(uint64_t *said)
{
        uint64_t since = atomic_load(&waiting->since), now = now_ms();

        if (!since || now - since < SAY_MS)
                return 0;
        if (*said != since)
                hf_message("%s: its filesystem does not answer; waiting up to %d s", waiting->what,
                           GIVE_UP_MS / 1000);
        *said = since;
        return now - since >= GIVE_UP_MS;
}

static int status_of(pid_t child)
{
        int status;

        while (waitpid(child, &status, 0) < 0)
                if (errno != EINTR)
                        return HF_EXIT_SYSTEM;
        return WIFEXITED(status) ? WEXITSTATUS(status) : HF_EXIT_BY_SIGNAL + WTERMSIG(status);
}

static int watch(pid_t child)
{
        hf_cleanup_fd int pidfd = pidfd_open(child, 0);
        struct pollfd end = {.fd = pidfd, .events = POLLIN};
        uint64_t said = 0;

        while (pidfd >= 0 && poll(&end, 1, LOOK_MS) <= 0) {
                if (!look(&said))
                        continue;
                hf_message("%s: its filesystem has not answered for %d s", waiting->what,
                           GIVE_UP_MS / 1000);
                /* It may not even die, and is not waited for. */
                (void)kill(child, SIGKILL);
                return HF_EXIT_SYSTEM;
        }
        return status_of(child);
}

int hf_patience(int (*verb)(int argc, char **argv), int argc, char **argv)
{
        pid_t parent = getpid(), child;

        waiting = mmap(NULL, sizeof(*waiting), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
                       -1, 0);
        if (waiting == MAP_FAILED)
                waiting = NULL;
        child = waiting ? fork() : -1;
        if (child > 0)
                return watch(child);
        if (child == 0 && (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent))
                _exit(HF_EXIT_SYSTEM);
        /* Without a process to watch us we have none to wait for. */
        return verb(argc, argv);
}
