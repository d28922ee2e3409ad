/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "console/guard-private.h"

#include "base/cleanup.h"
#include "base/clock.h"

#include <signal.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <time.h>

/*
 * Throwing other programs out.
 *
 * TIOCVHANGUP makes every open descriptor of the terminal a dead one, ours as well; who reads gets
 * its end. The flag is set before, and outlives it: nobody without privilege opens it again in
 * between. Of root's programs some do: tio asks for its flock again, once a second, and does not
 * get it. minicom opens it again at once, and neither looks at its lock file then nor makes one,
 * but has removed the one of that name, whosever it was. So the files are made when all have let
 * go of their dead descriptors; and who was thrown out and is in again is asked to end, by SIGTERM.
 * Somebody new stands against it like anybody.
 */

/* Two looks with nobody there, so far apart, are one more than a program needs to open it again. */
#define CALM_LOOKS 3

/* Until programs have seen that what they have is dead: to close it (some never do), and to let go
 * of their flock, for which socat takes more than a second. */
#define CLOSE_MSEC 1000
#define FLOCK_MSEC 4000

#define LOOK_NSEC  20000000

static bool open_again(struct hf_job *job, int path_fd)
{
        hf_close_fd(&job->device);
        job->device = hf_job_open_terminal(path_fd);
        if (job->device >= 0 && hf_job_stage(job))
                return true;
        hf_job_fail(job, job->device < 0 ? job->device : -ECANCELED, "cannot open %s again: %s",
                    job->reply.hold.path, strerror(job->device < 0 ? -job->device : ECANCELED));
        return false;
}

static bool is_among(const pid_t *pids, pid_t pid)
{
        for (; *pids; pids++)
                if (*pids == pid)
                        return true;
        return false;
}

/* One of ours to be thrown out that was seen twice in a row is no passer-by. */
static bool end_those_who_came_back(const struct hf_openers *who, const pid_t *pids, pid_t *before)
{
        pid_t seen[HF_OPENERS_MAX + 1] = {0};
        bool sent = false;
        size_t n = 0;

        for (size_t i = 0; i < who->n; i++) {
                pid_t pid = who->list[i].pid;

                if (who->list[i].dead)
                        continue;
                if (is_among(before, pid) && is_among(pids, pid))
                        sent = kill(pid, SIGTERM) == 0;
                seen[n++] = pid;
        }
        memcpy(before, seen, sizeof(seen));
        return sent;
}

/* Until nobody has it open and flock is ours, or time is up. */
static bool wait_until_calm(struct hf_job *job, const struct stat *st, struct hf_openers *who,
                            const pid_t *pids)
{
        const int64_t begin = hf_clock_msec(CLOCK_MONOTONIC);
        const struct timespec step = {0, LOOK_NSEC};
        pid_t before[HF_OPENERS_MAX + 1] = {0};
        bool locked = false, asked = false;

        for (int calm = 0;;) {
                int64_t passed = hf_clock_msec(CLOCK_MONOTONIC) - begin;
                size_t n;

                locked = locked || flock(job->device, LOCK_EX | LOCK_NB) == 0;
                hf_openers_find(st, job->device, who);
                /* One that keeps a dead descriptor harms nobody. */
                n = passed > CLOSE_MSEC ? hf_openers_alive(who) : who->n;
                calm = locked && !n ? calm + 1 : 0;
                if (calm == CALM_LOOKS)
                        return true;
                if (passed > (asked ? HF_GUARD_HANGUP_MSEC : FLOCK_MSEC))
                        return false;
                asked = end_those_who_came_back(who, pids, before) || asked;
                (void)nanosleep(&step, NULL);
        }
}

bool hf_job_evict(struct hf_job *job, int path_fd, const struct stat *st, struct hf_openers *who,
                  pid_t *pids)
{
        size_t n = 0;

        for (size_t i = 0; i < who->n; i++)
                pids[n++] = who->list[i].pid;
        pids[n] = 0;
        (void)ioctl(job->device, TIOCEXCL);
        if (ioctl(job->device, TIOCVHANGUP) < 0) {
                hf_job_refuse(job, who, false, "; only root can throw it out");
                return false;
        }
        if (!open_again(job, path_fd))
                return false;
        if (wait_until_calm(job, st, who, pids))
                return true;
        hf_job_refuse(job, who, false, ", and does not go although it was hung up");
        return false;
}
