/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "console/guard-private.h"

#include "base/cleanup.h"
#include "base/clock.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>

/*
 * Taking a terminal.
 *
 * What is asked first is what leaves nothing behind: the open, flock, who else has it open. Then
 * the lock files, at last the flag. Somebody who has the terminal and respects none of that
 * stands against it too: two readers would each get a part of what is printed.
 */

/* A program that ends, or a job whose guard was killed, may have it for a moment longer. */
#define PATIENCE_MSEC 300

#define STEP_NSEC     1000000

/* The kernel's number of what makes a new terminal when it is opened. */
#define PTMX makedev(5, 2)

int hf_job_open_terminal(int path_fd)
{
        char name[64];
        int fd;

        (void)snprintf(name, sizeof(name), "/proc/self/fd/%d", path_fd);
        fd = open(name, O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
        return fd < 0 ? -errno : fd;
}

/* A device that sysfs knows, and not as a terminal: opening it might do something. */
static bool is_no_terminal(const struct stat *st)
{
        char path[64], target[PATH_MAX];
        const char *base;
        ssize_t n;

        if (!S_ISCHR(st->st_mode) || st->st_rdev == PTMX)
                return true;
        (void)snprintf(path, sizeof(path), "/sys/dev/char/%u:%u/subsystem", major(st->st_rdev),
                       minor(st->st_rdev));
        n = readlink(path, target, sizeof(target) - 1);
        if (n <= 0)
                return false;
        target[n] = '\0';
        base = strrchr(target, '/');
        return base && strcmp(base + 1, "tty") != 0;
}

void hf_job_pause(void)
{
        const struct timespec step = {0, STEP_NSEC};

        (void)nanosleep(&step, NULL);
}

bool hf_job_lock(int fd, int64_t msec)
{
        int64_t until = hf_clock_msec(CLOCK_MONOTONIC) + msec;

        while (flock(fd, LOCK_EX | LOCK_NB) < 0) {
                if (hf_clock_msec(CLOCK_MONOTONIC) >= until)
                        return false;
                hf_job_pause();
        }
        return true;
}

/* Opens it; a flag that is being taken off now is waited for. */
static int open_patiently(int path_fd)
{
        int64_t until = hf_clock_msec(CLOCK_MONOTONIC) + PATIENCE_MSEC;
        int fd = hf_job_open_terminal(path_fd);

        while (fd == -EBUSY && hf_clock_msec(CLOCK_MONOTONIC) < until) {
                hf_job_pause();
                fd = hf_job_open_terminal(path_fd);
        }
        return fd;
}

static const char *how_it_has_it(const struct hf_opener *who, bool flag)
{
        return who->flock ? "flock" : flag ? "has it open, with TIOCEXCL" : "has it open";
}

static void name_openers(struct hf_job *job, const struct hf_openers *who, bool flag)
{
        job->reply.n_intruders = 0;
        /* Who has it locked first: that is whom one meets. */
        for (int lock = 1; lock >= 0; lock--)
                for (size_t i = 0; i < who->n; i++)
                        if (who->list[i].flock == (lock != 0))
                                hf_job_intruder(job, &who->list[i],
                                                how_it_has_it(&who->list[i], flag));
}

static void refuse_by_first(struct hf_job *job, const char *more)
{
        const struct hf_intruder *first = &job->reply.intruders[0];

        if (job->reply.n_intruders && first->pid)
                hf_job_fail(job, -EBUSY, "%s is in use: %s (pid %d, user %u), %s%s",
                            job->reply.hold.path, first->program, (int)first->pid,
                            (unsigned int)first->uid, first->how, more);
        else if (job->reply.n_intruders)
                hf_job_fail(job, -EBUSY, "%s is in use: %s%s", job->reply.hold.path, first->how,
                            more);
        else
                hf_job_fail(job, -EBUSY,
                            "%s is in use by a process that is not to be seen from here%s",
                            job->reply.hold.path, more);
}

void hf_job_refuse(struct hf_job *job, const struct hf_openers *who, bool flag, const char *more)
{
        name_openers(job, who, flag);
        refuse_by_first(job, more);
}

/* The flag keeps us out: a program of root's or of another user has it, or had. */
static void refuse_by_flag(struct hf_job *job, const struct stat *st, struct hf_openers *who)
{
        hf_openers_find(st, -1, who);
        name_openers(job, who, true);
        if (!job->reply.n_intruders)
                hf_job_intruder(job, &(struct hf_opener){0}, "TIOCEXCL");
        refuse_by_first(job, "");
}

static void refuse_by_file(struct hf_job *job, const struct hf_uucp_holder *holder)
{
        struct hf_opener who = {.pid = holder->pid};
        char how[sizeof(job->reply.intruders[0].how)];

        if (holder->pid)
                (void)hf_openers_describe(holder->pid, &who);
        (void)snprintf(how, sizeof(how), "lock file %.100s/%.140s", job->settings->lock_dir,
                       holder->name);
        hf_job_intruder(job, &who, how);
        refuse_by_first(job, "");
}

static void set_raw(int fd, const struct termios *before)
{
        struct termios raw = *before;

        cfmakeraw(&raw);
        raw.c_cflag |= CLOCAL | CREAD;
        (void)tcsetattr(fd, TCSANOW, &raw);
}

/* What stays behind. The guard knows of it already. */
static void set_all(struct hf_job *job, const pid_t *pids)
{
        struct hf_hold *hold = &job->reply.hold;
        struct hf_uucp_holder holder;
        struct hf_error err;
        int r;

        hold->exclusive = false;
        r = hf_uucp_take(job->settings->lock_dir, hold->path, (dev_t)hold->rdev, job->guard, pids,
                         &hold->uucp, &holder, &err);
        if (r == -EBUSY)
                refuse_by_file(job, &holder);
        else if (r < 0)
                hf_job_fail(job, r, "%s", err.text);
        if (r < 0)
                return;
        hold->exclusive = ioctl(job->device, TIOCEXCL) == 0;
        set_raw(job->device, &hold->termios);
}

static bool is_alone(struct hf_job *job, const struct stat *st, struct hf_openers *who)
{
        bool locked = hf_job_lock(job->device, PATIENCE_MSEC);
        int flag = 0;

        hf_openers_find(st, job->device, who);
        if (locked && !hf_openers_alive(who))
                return true;
        if (job->request.flags & HF_GUARD_EVICT && hf_openers_alive(who))
                return false;
        (void)ioctl(job->device, TIOCGEXCL, &flag);
        hf_job_refuse(job, who, flag != 0, "");
        return false;
}

static bool open_it(struct hf_job *job, int path_fd, const struct stat *st, struct hf_openers *who)
{
        struct hf_hold *hold = &job->reply.hold;

        job->device = open_patiently(path_fd);
        if (job->device == -EBUSY) {
                refuse_by_flag(job, st, who);
                return false;
        }
        if (job->device < 0) {
                hf_job_fail(job, job->device, "cannot open %s: %s", hold->path,
                            strerror(-job->device));
                return false;
        }
        if (tcgetattr(job->device, &hold->termios) < 0) {
                bool gone = errno == EIO;

                hf_job_fail(job, gone ? -EIO : -ENOTTY, "%s is no terminal%s", hold->path,
                            gone ? " any more: its other side is closed" : "");
                return false;
        }
        hold->has_termios = true;
        return true;
}

static void take_terminal(struct hf_job *job, int path_fd, const struct stat *st)
{
        hf_cleanup_free struct hf_openers *who = malloc(sizeof(*who));
        pid_t pids[HF_OPENERS_MAX + 2] = {job->guard};
        struct hf_hold *hold = &job->reply.hold;
        bool alone;

        if (!who) {
                hf_job_fail(job, -ENOMEM, "out of memory");
                return;
        }
        if (!open_it(job, path_fd, st, who))
                return;
        alone = is_alone(job, st, who);
        if (job->reply.result < 0)
                return;
        hold->exclusive = true;
        hf_uucp_names(hold->path, job->guard, &hold->uucp);
        if (!hf_job_stage(job))
                hf_job_fail(job, -ECANCELED, "the guard does not want it any more");
        else if (alone || hf_job_evict(job, path_fd, st, who, pids + 1))
                set_all(job, pids);
        if (job->reply.result < 0)
                (void)ioctl(job->device, TIOCNXCL);
}

void hf_job_take(struct hf_job *job)
{
        struct hf_hold *hold = &job->reply.hold;
        hf_cleanup_fd int fd = -1;
        struct hf_held *same;
        struct stat st;

        fd = open(hold->path, O_PATH | O_CLOEXEC);
        if (fd < 0 || fstat(fd, &st) < 0) {
                hf_job_fail(job, -errno, "cannot open %s: %s", hold->path, strerror(errno));
                return;
        }
        hold->kind = S_ISSOCK(st.st_mode) ? HF_DEVICE_SOCKET : HF_DEVICE_TTY;
        if (hold->kind == HF_DEVICE_TTY && is_no_terminal(&st)) {
                hf_job_fail(job, -ENOTTY, "%s is no terminal, and no socket", hold->path);
                return;
        }
        hold->rdev = S_ISSOCK(st.st_mode) ? st.st_ino : st.st_rdev;
        hold->fs = S_ISSOCK(st.st_mode) || hf_openers_is_pts(&st) ? st.st_dev : 0;
        same = hf_held_same(job->table, hold);
        if (same) {
                *hold = same->hold;
                hf_job_fail(job, -EALREADY, "%s is held already, as %s", job->request.hold.path,
                            same->hold.path);
        } else if (hold->kind == HF_DEVICE_SOCKET) {
                hf_job_take_socket(job, fd, &st);
        } else {
                take_terminal(job, fd, &st);
        }
}
