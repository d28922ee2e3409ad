/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Signals are blocked and fetched one by one: no handler, and nothing that can
 * happen between looking and waiting.
 *
 * ^C and the like: the terminal sends those to its whole foreground group, so a
 * child in our group has it already and must not get it twice (QEMU takes the
 * second SIGINT for impatience). The kernel marks what the terminal sent.
 * SIGHUP is the exception: when a terminal goes away, only the session's leader
 * is told; if that is us, the child depends on us.
 */

#include "cli/supervise.h"

#include "cli/message.h"
#include "cli/verb.h"

#include "base/cleanup.h"

#include <string.h>
#include <sys/wait.h>

static const int forwarded[] = {SIGHUP,  SIGINT,  SIGQUIT,  SIGTERM,
                                SIGUSR1, SIGUSR2, SIGWINCH, SIGALRM};

static void begin(struct hf_supervise *how)
{
        /* Ignored, as some programs leave it, the child's status would be thrown away. */
        struct sigaction usual = {.sa_handler = SIG_DFL};

        (void)sigemptyset(&how->waited);
        for (size_t i = 0; i < HF_ARRAY_LEN(forwarded); i++)
                (void)sigaddset(&how->waited, forwarded[i]);
        (void)sigaddset(&how->waited, SIGCHLD);
        (void)sigprocmask(SIG_BLOCK, &how->waited, &how->mask);
        (void)sigaction(SIGCHLD, &usual, &how->chld);
}

static void release(const struct hf_supervise *how)
{
        (void)sigaction(SIGCHLD, &how->chld, NULL);
        (void)sigprocmask(SIG_SETMASK, &how->mask, NULL);
}

pid_t hf_supervise_fork(struct hf_supervise *how)
{
        pid_t child;

        begin(how);
        child = fork();
        if (child < 0) {
                child = -errno;
                hf_message("cannot make a process: %s", strerror(-child));
        }
        if (child == 0)
                release(how);
        return child;
}

static bool child_has_it(const siginfo_t *info, pid_t child)
{
        if (info->si_code != SI_KERNEL || getpgid(child) != getpgrp())
                return false;
        return info->si_signo != SIGHUP || getsid(0) != getpid();
}

static int status_of(int status)
{
        return WIFSIGNALED(status) ? HF_EXIT_BY_SIGNAL + WTERMSIG(status) : WEXITSTATUS(status);
}

int hf_supervise(const struct hf_supervise *how, pid_t child)
{
        siginfo_t info;
        int status;

        for (;;) {
                /* A stop or a grandchild raises SIGCHLD too, so always look. */
                pid_t ended = waitpid(child, &status, WNOHANG);

                if (ended == child)
                        return status_of(status);
                if (ended < 0 && errno != EINTR)
                        return HF_EXIT_INTERNAL;
                if (sigwaitinfo(&how->waited, &info) < 0 || info.si_signo == SIGCHLD)
                        continue;
                if (!child_has_it(&info, child))
                        (void)kill(child, info.si_signo);
        }
}
