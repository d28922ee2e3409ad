/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "keeper/keeper-private.h"

#include "base/clock.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>

/*
 * The supervisor: makes a server, waits until it is gone, decides what follows.
 *
 *   the server                                what follows
 *   asked for an upgrade, however it ended    the new program, in this process
 *   ended by itself                           the end, with its exit status
 *   was ended by a signal, on its way out     the end, as a failure
 *   was told to stop at its begin, and was
 *   ended by a signal before it was ready     the end, as a failure
 *   was ended by a signal otherwise           another server
 *   does not move (watchdog.c)                it is killed, then as above
 *
 * It has to stay as it was when the program was started, since each server is a
 * copy of it: no memory is asked for, nothing is opened, no library is called.
 * Signals wait until it looks, so none comes at a bad time.
 *
 * A signal to stop is an order to the program, not to one of its servers: it is
 * noted (in the header, for programs to come as well) and given to each server,
 * until one has obeyed. Others are noted only where nobody lives to hear them.
 *
 * A server that cannot live would be made again without end, so there is a pause
 * before the next one: none for the first few, then 10 ms, doubled up to 1 s.
 * There is no last try, because the descriptors would go with us. What counts is
 * a server that was never ready or that failed by its own hand soon after. One
 * that was ready and got SIGKILL was ended by somebody else, and says nothing.
 */

#define FREE_TRIES   3
#define PAUSE_MIN_MS 10
#define PAUSE_MAX_MS 1000
#define YOUNG_NS     1000000000ULL

/* Sent by a server to its supervisor: look at the command. */
#define SIGNAL_COMMAND SIGUSR2

static const int passed_on[] = {SIGINT, SIGQUIT, SIGTERM, SIGHUP, SIGUSR1};

#define TO_STOP ((1U << SIGINT) | (1U << SIGQUIT) | (1U << SIGTERM))

struct supervisor {
        struct hf_keeper *keeper;
        pid_t server; /* 0: there is none */
        int status;   /* how it ended */
        int failures; /* in a row */
        bool hung;    /* so it was killed by us */
        struct hf_keeper_watch watch;
        bool told_to_stop; /* the server, at its begin */
        sigset_t signals;
};

static void fill_set(sigset_t *ret)
{
        (void)sigemptyset(ret);
        for (size_t i = 0; i < sizeof(passed_on) / sizeof(passed_on[0]); i++)
                (void)sigaddset(ret, passed_on[i]);
        (void)sigaddset(ret, SIGCHLD);
}

void hf_keeper_mask_server(void)
{
        sigset_t set;

        fill_set(&set);
        (void)sigprocmask(SIG_SETMASK, &set, NULL);
}

static uint64_t now_ns(void)
{
        return hf_clock_nsec(CLOCK_MONOTONIC);
}

/* Reaps whoever has ended; true if the server is among them. */
static bool reap(struct supervisor *s)
{
        bool gone = false;
        int status;
        pid_t pid;

        while ((pid = waitpid(-1, &status, WNOHANG)) != 0) {
                if (pid < 0 && errno == EINTR)
                        continue;
                if (pid == s->server || (pid < 0 && s->server)) {
                        s->status = pid < 0 ? SIGKILL : status;
                        s->server = 0;
                        gone = true;
                }
                if (pid < 0)
                        break;
        }
        return gone;
}

/* Not yet reaped, but gone? */
static bool lives(pid_t server)
{
        siginfo_t info = {0};

        return server && waitid(P_PID, (id_t)server, &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
               info.si_pid == 0;
}

static void take_signal(struct supervisor *s, int number)
{
        struct hf_keeper_header *header = s->keeper->header;

        if (number == SIGCHLD)
                return;
        if (number == SIGNAL_COMMAND) {
                /* It waits for its end, so that one of us lives at any time. */
                if (s->server && hf_keeper_goes(header))
                        (void)kill(s->server, SIGKILL);
                return;
        }
        if ((TO_STOP & 1U << number) || !lives(s->server))
                header->signals |= 1U << number;
        if (s->server)
                (void)kill(s->server, number);
}

static void pass_on_noted(struct supervisor *s)
{
        struct hf_keeper_header *header = s->keeper->header;

        for (size_t i = 0; i < sizeof(passed_on) / sizeof(passed_on[0]); i++)
                if (header->signals & 1U << passed_on[i])
                        (void)kill(s->server, passed_on[i]);
        header->signals &= TO_STOP;
        s->told_to_stop = header->signals;
}

/* Returns 0, or -errno. In the child it does not return. */
static int make_server(struct supervisor *s)
{
        struct hf_keeper *keeper = s->keeper;
        pid_t pid;

        keeper->generation++;
        keeper->header->ready_at = 0;
        /* The last server's went with it. */
        keeper->header->probe = 0;
        pid = hf_keeper_clone();
        if (pid < 0)
                return pid;
        if (pid == 0) {
                hf_keeper_mask_server();
                hf_keeper_serve(keeper);
        }
        s->server = pid;
        pass_on_noted(s);
        return 0;
}

/* The next signal, or what is not above 0 when it is time to look after the server. */
static int await_signal(const struct supervisor *s)
{
        uint64_t interval = hf_keeper_watchdog_interval(s->keeper);
        struct timespec time = {.tv_sec = (time_t)(interval / 1000000000),
                                .tv_nsec = (long)(interval % 1000000000)};

        return interval ? sigtimedwait(&s->signals, NULL, &time) : sigwaitinfo(&s->signals, NULL);
}

static void wait_for_server(struct supervisor *s)
{
        s->hung = false;
        while (!reap(s)) {
                int number = await_signal(s);

                if (number > 0)
                        take_signal(s, number);
                if (s->server && hf_keeper_watchdog_look(s->keeper, &s->watch)) {
                        s->hung = true;
                        (void)kill(s->server, SIGKILL);
                }
        }
}

static void count_failure(struct supervisor *s)
{
        uint64_t ready_at = s->keeper->header->ready_at;

        /* SIGKILL comes from outside: it says nothing about a program that was ready. */
        if (ready_at && (WTERMSIG(s->status) == SIGKILL || now_ns() - ready_at >= YOUNG_NS))
                s->failures = 0;
        else if (s->failures < INT_MAX)
                s->failures++;
}

/* Before the next server. Signals are noted meanwhile. */
static void pause_for_failures(struct supervisor *s)
{
        uint64_t ms = PAUSE_MIN_MS, end;

        if (s->failures <= FREE_TRIES)
                return;
        for (int i = FREE_TRIES + 1; i < s->failures && ms < PAUSE_MAX_MS; i++)
                ms *= 2;
        end = now_ns() + (ms < PAUSE_MAX_MS ? ms : PAUSE_MAX_MS) * 1000000;
        for (uint64_t now = now_ns(); now < end; now = now_ns()) {
                struct timespec left = {.tv_sec = (time_t)((end - now) / 1000000000),
                                        .tv_nsec = (long)((end - now) % 1000000000)};
                int number = sigtimedwait(&s->signals, NULL, &left);

                if (number > 0)
                        take_signal(s, number);
        }
}

/* Whether no server is to follow. */
static bool is_over(const struct supervisor *s)
{
        const struct hf_keeper_header *header = s->keeper->header;

        if (hf_keeper_goes(header))
                return false;
        return WIFEXITED(s->status) || header->command == HF_KEEPER_DO_END ||
               (s->told_to_stop && !header->ready_at);
}

static void prepare_next(struct supervisor *s)
{
        struct hf_keeper *keeper = s->keeper;

        keeper->upgrade_error = 0;
        keeper->last_status = s->status;
        keeper->last_hung = s->hung;
        if (hf_keeper_goes(keeper->header)) {
                keeper->upgrade_error = -(keeper->header->command == HF_KEEPER_DO_UPGRADE
                                                  ? hf_keeper_execute(keeper)
                                                  : hf_keeper_execute_other(keeper));
                keeper->last_status = 0;
                keeper->header->command = HF_KEEPER_GO_ON;
                hf_keeper_numbers_forget_program(keeper);
        } else {
                count_failure(s);
        }
        if (keeper->header->ready)
                keeper->start = HF_KEEPER_REPLACED;
}

int hf_keeper_supervise(struct hf_keeper *keeper, struct hf_error *err)
{
        struct supervisor s = {.keeper = keeper};
        int r;

        fill_set(&s.signals);
        (void)sigaddset(&s.signals, SIGNAL_COMMAND);
        (void)sigprocmask(SIG_SETMASK, &s.signals, NULL);
        /* Who starts us may ignore it, and then there would be nothing to wait for. */
        (void)signal(SIGCHLD, SIG_DFL);
        (void)signal(SIGNAL_COMMAND, SIG_DFL);
        /* It writes nowhere, so whoever sends this has taken it for the server. */
        (void)signal(SIGPIPE, SIG_IGN);
        /* What is not written yet would be written by each server. */
        (void)fflush(NULL);
        for (;;) {
                r = make_server(&s);
                if (r < 0 && keeper->generation == 1 && keeper->start == HF_KEEPER_FIRST)
                        return hf_error_sys(err, -r, "cannot make a server process");
                if (r < 0) {
                        s.failures++;
                } else {
                        wait_for_server(&s);
                        if (is_over(&s))
                                return WIFEXITED(s.status) ? WEXITSTATUS(s.status) : EXIT_FAILURE;
                        prepare_next(&s);
                }
                pause_for_failures(&s);
        }
}
