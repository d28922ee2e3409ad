/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "keeper/keeper-private.h"

#include "base/cleanup.h"
#include "base/process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/syscall.h>

/*
 * Becoming another program, or the same anew, with every descriptor.
 *
 * Whoever executes has to be alone with the descriptor table then, or it would
 * get a copy of it: the locks that belong to a table (POSIX) would be lost, and
 * the end of the other process would close every file once more. (A worker that
 * hangs in closing one of our files keeps the old table then: see worker.h.)
 * So for an upgrade the server has to go first. It does not go by itself, since at that
 * moment the supervisor may have been killed: it says what it wants (one store),
 * nudges the supervisor, and waits for the end at its hands or for the
 * supervisor's end, after which it is the heir. Killed by somebody else
 * meanwhile, it has asked for an upgrade all the same.
 *
 * From the end of the server until the new supervisor has made the next one, a
 * few milliseconds, there is one process and not two: who kills that one then
 * ends the program. It is the same from the death of either process until it is
 * replaced.
 *
 * An heir executes /proc/self/exe: the program that it is, also where its file
 * was replaced, and without a free descriptor.
 */

/* How long to wait before trying again what has to succeed. */
#define RETRY_MS 100

/* Words of what is executed in our place. */
#define WORDS_MAX 30

/* What a successor needs: the area, and what workers have sent and will send. */
static void keep_area(const struct hf_keeper *keeper, bool keep)
{
        static const enum hf_keeper_number kept[] = {HF_KEEPER_FD_AREA, HF_KEEPER_FD_RESULTS_IN,
                                                     HF_KEEPER_FD_RESULTS_OUT};

        for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++)
                (void)fcntl(hf_keeper_fd(keeper, kept[i]), F_SETFD, keep ? 0 : FD_CLOEXEC);
}

int hf_keeper_execute(struct hf_keeper *keeper)
{
        int r;

        keep_area(keeper, true);
        (void)syscall(SYS_execveat, hf_keeper_fd(keeper, HF_KEEPER_FD_PROGRAM), "", keeper->argv,
                      keeper->env, AT_EMPTY_PATH);
        r = -errno;
        keep_area(keeper, false);
        return r;
}

int hf_keeper_inherit(struct hf_keeper *keeper)
{
        struct hf_keeper_header *header = keeper->header;
        pid_t pid = header->pid;
        int r;

        if (!header->ready)
                return -EAGAIN;
        r = keeper->supervised ? hf_process_pidfd_is_dead(hf_keeper_supervisor_fd(keeper)) : 0;
        if (r <= 0)
                return r < 0 ? r : -EBUSY;
        header->pid = getpid();
        header->command = HF_KEEPER_DO_INHERIT;
        keep_area(keeper, true);
        (void)execve("/proc/self/exe", keeper->argv, keeper->env);
        r = -errno;
        keep_area(keeper, false);
        header->command = HF_KEEPER_GO_ON;
        header->pid = pid;
        return r;
}

/* Says what is to become of this server and its supervisor; returns when that one is dead. */
static void ask_supervisor(struct hf_keeper *keeper, enum hf_keeper_command command)
{
        struct pollfd supervisor = {.fd = hf_keeper_supervisor_fd(keeper), .events = POLLIN};

        keeper->header->command = command;
        (void)pidfd_send_signal(supervisor.fd, SIGUSR2, NULL, 0);
        while (poll(&supervisor, 1, -1) < 0)
                ;
}

/* What systemd passed is open, or not, by other numbers now. */
static bool is_passed_on(const char *variable)
{
        return strncmp(variable, "LISTEN_", strlen("LISTEN_")) != 0;
}

/* Whether we were told to stop, which comes first. */
static bool is_told_to_stop(void)
{
        sigset_t pending;

        return sigpending(&pending) == 0 &&
               (sigismember(&pending, SIGTERM) > 0 || sigismember(&pending, SIGINT) > 0 ||
                sigismember(&pending, SIGQUIT) > 0);
}

/* As they are in who executes, and in us who only wait for them. */
static void set_signals(bool leaves)
{
        static const int numbers[] = {SIGHUP, SIGUSR1, SIGUSR2};

        /* One of these that is on its way would be the end of a program that has just begun. */
        for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
                (void)signal(numbers[i], leaves ? SIG_IGN : SIG_DFL);
}

/* In the supervisor, which asks for no memory. */
int hf_keeper_execute_other(struct hf_keeper *keeper)
{
        char *argv[WORDS_MAX + 1], *word = keeper->header->words;
        size_t n = 0, n_env = 1;
        sigset_t none, before;
        int r;

        if (is_told_to_stop())
                return -EINTR;
        for (; n < WORDS_MAX && *word; word += strlen(word) + 1)
                argv[n++] = word;
        argv[n] = NULL;
        for (char **from = keeper->env + 1; *from; from++)
                if (is_passed_on(*from))
                        keeper->env[n_env++] = *from;
        keeper->env[n_env] = NULL;
        (void)sigemptyset(&none);
        set_signals(true);
        (void)sigprocmask(SIG_SETMASK, &none, &before);
        (void)execve(argv[0] ? argv[0] : "", argv, keeper->env + 1);
        r = -errno;
        (void)sigprocmask(SIG_SETMASK, &before, NULL);
        set_signals(false);
        return r;
}

int hf_keeper_become(struct hf_keeper *keeper, const char *const *argv)
{
        char *at = keeper->header->words, *end = at + sizeof(keeper->header->words) - 1;

        if (!keeper->supervised)
                return -EOPNOTSUPP;
        for (size_t i = 0; argv[i]; i++) {
                if (i == WORDS_MAX || strlen(argv[i]) >= (size_t)(end - at))
                        return -E2BIG;
                at = stpcpy(at, argv[i]) + 1;
        }
        *at = '\0';
        ask_supervisor(keeper, HF_KEEPER_DO_BECOME);
        keeper->header->command = HF_KEEPER_GO_ON;
        return -ESRCH;
}

_Noreturn void hf_keeper_upgrade(struct hf_keeper *keeper)
{
        /* Nobody to become it. Not reached by who asked hf_keeper_probe_begin first. */
        if (!keeper->supervised)
                _exit(EXIT_FAILURE);
        ask_supervisor(keeper, HF_KEEPER_DO_UPGRADE);
        for (;;) {
                (void)hf_keeper_inherit(keeper);
                (void)poll(NULL, 0, RETRY_MS);
        }
}
