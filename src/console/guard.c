/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "console/guard-private.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/process.h"

#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>

/*
 * The guard's loop: requests of the server, words of its jobs, their deadlines, its second's end.
 * Nothing here waits for a device; only for the server to take answers, and the second its records.
 */

/* For the end of one that was killed; one that a device holds in the kernel is not waited for. */
#define JOB_END_MSEC 500

/* A request that is worked on by a child. */
struct running {
        int fd; /* -1: this place is free */
        int pidfd;
        int64_t deadline;
        uint32_t op;
        uint64_t id;
        bool finished; /* its result was there */
};

struct guard {
        int server, second;
        pid_t pid;
        const struct hf_guard_settings *settings;
        struct hf_held_table table;
        struct running jobs[HF_GUARD_JOBS_MAX];
        struct hf_guard_request request;
        struct hf_guard_reply reply;
        bool ended; /* the daemon is dead */
        bool quit;
};

static void answer(struct guard *guard, struct hf_guard_reply *reply, uint32_t op, uint64_t id,
                   int fd)
{
        reply->version = HF_GUARD_VERSION;
        reply->op = op;
        reply->id = id;
        if (hf_guard_send_record(guard->server, reply, sizeof(*reply), fd, 0) < 0)
                guard->ended = true;
}

static void refuse(struct guard *guard, uint32_t op, uint64_t id, int result, const char *text)
{
        memset(&guard->reply, 0, sizeof(guard->reply));
        guard->reply.result = result;
        (void)snprintf(guard->reply.text, sizeof(guard->reply.text), "%s", text);
        answer(guard, &guard->reply, op, id, -1);
}

static void tell_second(struct guard *guard, uint32_t op, const struct hf_hold *hold, int fd)
{
        if (hf_second_tell(guard->second, op, hold, fd))
                return;
        /* It is dead: another one begins with a copy of all that is held now. */
        hf_close_fd(&guard->second);
        guard->second = hf_second_start(guard->server, guard->settings, &guard->table);
}

/* Notes a hold here and there. Consumes fd. */
static int note(struct guard *guard, const struct hf_hold *hold, int fd)
{
        int r = hf_held_put(&guard->table, hold, fd);

        if (r < 0)
                hf_close_fd(&fd);
        else
                tell_second(guard, HF_GUARD_ADOPT, hold, fd);
        return r;
}

static void drop(struct guard *guard, struct hf_held *held)
{
        struct hf_hold hold = held->hold;

        hf_held_drop(&guard->table, held);
        tell_second(guard, HF_GUARD_RELEASE, &hold, -1);
}

static struct running *find_place(struct guard *guard)
{
        for (size_t i = 0; i < HF_GUARD_JOBS_MAX; i++)
                if (guard->jobs[i].fd < 0)
                        return &guard->jobs[i];
        return NULL;
}

static _Noreturn void become_job(struct guard *guard, int fd, int device)
{
        struct hf_job job = {.fd = fd,
                             .settings = guard->settings,
                             .table = &guard->table,
                             .guard = guard->pid,
                             .request = guard->request,
                             .device = device};

        job.reply.hold = guard->request.hold;
        job.reply.hold.id = guard->request.id;
        (void)prctl(PR_SET_NAME, "console-job");
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        hf_job_run(&job);
}

static int64_t time_for(const struct guard *guard)
{
        bool evict = guard->request.op == HF_GUARD_TAKE && guard->request.flags & HF_GUARD_EVICT;

        return (int64_t)guard->settings->open_timeout_ms + (evict ? HF_GUARD_HANGUP_MSEC : 0);
}

static int start_job(struct guard *guard, int device)
{
        struct running *job = find_place(guard);
        hf_cleanup_fd int theirs = -1;
        int pair[2];
        pid_t pid;

        if (!job)
                return -EAGAIN;
        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
                return -errno;
        theirs = pair[1];
        pid = fork();
        if (pid == 0)
                become_job(guard, theirs, device);
        if (pid < 0) {
                (void)close(pair[0]);
                return -EAGAIN;
        }
        *job = (struct running){.fd = pair[0],
                                .pidfd = pidfd_open(pid, 0),
                                .deadline = hf_clock_msec(CLOCK_MONOTONIC) + time_for(guard),
                                .op = guard->request.op,
                                .id = guard->request.id};
        return 0;
}

static bool is_under_way(const struct guard *guard, uint64_t id)
{
        for (size_t i = 0; i < HF_GUARD_JOBS_MAX; i++)
                if (guard->jobs[i].fd >= 0 && guard->jobs[i].id == id)
                        return true;
        return false;
}

static void list(struct guard *guard)
{
        for (size_t i = 0; i < guard->table.n && !guard->ended; i++) {
                const struct hf_held *held = &guard->table.list[i];

                if (!held->sure)
                        continue;
                memset(&guard->reply, 0, sizeof(guard->reply));
                guard->reply.hold = held->hold;
                answer(guard, &guard->reply, HF_GUARD_HELD, held->hold.id, held->fd);
        }
        memset(&guard->reply, 0, sizeof(guard->reply));
        answer(guard, &guard->reply, HF_GUARD_LIST, guard->request.id, -1);
}

/* One that works on a hold: RELEASE, LOOK, ADOPT. */
static void work_on(struct guard *guard, int device)
{
        const struct hf_guard_request *request = &guard->request;
        struct hf_held *held = hf_held_find(&guard->table, request->id);
        int r;

        if (request->op == HF_GUARD_ADOPT) {
                guard->request.hold.id = request->id;
                r = device < 0 ? -EBADF : note(guard, &request->hold, device);
                held = r < 0 ? NULL : hf_held_find(&guard->table, request->id);
                if (!held) {
                        refuse(guard, request->op, request->id, r, "there is no room for it");
                        return;
                }
                held->sure = true;
        }
        if (!held) {
                refuse(guard, request->op, request->id, -ENOENT, "it is not held");
                return;
        }
        guard->request.hold = held->hold;
        r = start_job(guard, held->fd);
        if (r < 0)
                refuse(guard, request->op, request->id, r, "cannot make a process for it");
}

static void take(struct guard *guard)
{
        const struct hf_guard_request *request = &guard->request;
        int r;

        guard->request.hold.path[sizeof(request->hold.path) - 1] = '\0';
        guard->request.hold.has_termios = guard->request.hold.exclusive = false;
        memset(&guard->request.hold.uucp, 0, sizeof(request->hold.uucp));
        if (hf_held_find(&guard->table, request->id)) {
                refuse(guard, request->op, request->id, -EEXIST, "it is held already");
                return;
        }
        r = start_job(guard, -1);
        if (r < 0)
                refuse(guard, request->op, request->id, r, "cannot make a process for it");
}

static void on_request(struct guard *guard)
{
        struct hf_guard_request *request = &guard->request;
        hf_cleanup_fd int fd = -1;
        ssize_t n = hf_guard_receive_record(guard->server, request, sizeof(*request), &fd,
                                            MSG_DONTWAIT);

        if (n == -EAGAIN)
                return;
        if (n <= 0) {
                guard->ended = true;
                return;
        }
        if (n != sizeof(*request) || request->version != HF_GUARD_VERSION)
                refuse(guard, 0, 0, -EBADMSG, "a request of another version");
        else if (request->op == HF_GUARD_QUIT)
                guard->quit = true;
        else if (request->op == HF_GUARD_LIST)
                list(guard);
        else if (!request->id || is_under_way(guard, request->id))
                refuse(guard, request->op, request->id, -EINVAL, "something is under way for it");
        else if (request->op == HF_GUARD_TAKE)
                take(guard);
        else if (request->op == HF_GUARD_ADOPT || request->op == HF_GUARD_RELEASE ||
                 request->op == HF_GUARD_LOOK)
                work_on(guard, hf_steal_fd(&fd));
        else
                refuse(guard, request->op, request->id, -EINVAL, "an unknown request");
}

static void end_job(struct running *job)
{
        hf_close_fd(&job->fd);
        hf_close_fd(&job->pidfd);
}

/* Another path to a device that is held is not busy, but that. */
static bool is_held_already(struct guard *guard, struct hf_guard_reply *reply)
{
        struct hf_held *same = reply->hold.rdev ? hf_held_same(&guard->table, &reply->hold) : NULL;

        if (!same)
                return false;
        reply->hold = same->hold;
        reply->result = -EALREADY;
        reply->n_intruders = 0;
        (void)snprintf(reply->text, sizeof(reply->text), "%.400s is held already", same->hold.path);
        return true;
}

static void on_staged(struct guard *guard, struct running *job, int fd)
{
        struct hf_guard_reply *reply = &guard->reply;
        int r;

        reply->hold.id = job->id;
        if (is_held_already(guard, reply)) {
                hf_close_aside(&reply->hold, fd);
                answer(guard, reply, job->op, job->id, -1);
                end_job(job);
                return;
        }
        r = note(guard, &reply->hold, fd);
        if (r < 0) {
                refuse(guard, job->op, job->id, r, "there is no room for it");
                end_job(job);
                return;
        }
        (void)send(job->fd, "", 1, MSG_NOSIGNAL);
}

static void on_take_result(struct guard *guard, struct running *job)
{
        struct hf_guard_reply *reply = &guard->reply;
        struct hf_held *held = hf_held_find(&guard->table, job->id);

        if (reply->result < 0) {
                if (held)
                        drop(guard, held);
                if (reply->result == -EBUSY)
                        (void)is_held_already(guard, reply);
                answer(guard, reply, job->op, job->id, -1);
        } else if (held) {
                (void)note(guard, &reply->hold, -1);
                held->sure = true;
                answer(guard, reply, job->op, job->id, held->fd);
        }
}

static void on_result(struct guard *guard, struct running *job)
{
        struct hf_guard_reply *reply = &guard->reply;
        struct hf_held *held = hf_held_find(&guard->table, job->id);

        job->finished = true;
        if (job->op == HF_GUARD_TAKE) {
                on_take_result(guard, job);
                return;
        }
        if (job->op == HF_GUARD_RELEASE && held)
                drop(guard, held);
        else if (job->op == HF_GUARD_ADOPT && held)
                (void)note(guard, &reply->hold, -1);
        answer(guard, reply, job->op, job->id, -1);
}

/* A job that will not say anything any more. What it may have done is undone here. */
static void on_loss(struct guard *guard, struct running *job, int result, const char *text)
{
        struct hf_held *held = hf_held_find(&guard->table, job->id);

        if (job->pidfd >= 0)
                (void)pidfd_send_signal(job->pidfd, SIGKILL, NULL, 0);
        if (held && (job->op == HF_GUARD_TAKE || job->op == HF_GUARD_RELEASE)) {
                struct hf_held one = *held;
                struct hf_held_table only = {.list = &one, .n = 1};

                hf_held_give_all_back(&only, guard->settings->lock_dir, 0);
                drop(guard, held);
        }
        refuse(guard, job->op, job->id, job->op == HF_GUARD_RELEASE ? 0 : result, text);
        end_job(job);
}

static void on_job(struct guard *guard, struct running *job)
{
        int fd = -1;
        ssize_t n = hf_guard_receive_record(job->fd, &guard->reply, sizeof(guard->reply), &fd,
                                            MSG_DONTWAIT);

        if (n == -EAGAIN)
                return;
        if (n != sizeof(guard->reply)) {
                hf_close_fd(&fd);
                on_loss(guard, job, -EIO, "the process that worked on it was killed");
                return;
        }
        if (guard->reply.op == HF_GUARD_STAGED) {
                on_staged(guard, job, fd);
                return;
        }
        hf_close_fd(&fd);
        on_result(guard, job);
        end_job(job);
}

static int next_deadline(const struct guard *guard)
{
        int64_t now = hf_clock_msec(CLOCK_MONOTONIC), least = -1;

        for (size_t i = 0; i < HF_GUARD_JOBS_MAX; i++) {
                int64_t left = guard->jobs[i].deadline - now;

                if (guard->jobs[i].fd >= 0 && (least < 0 || left < least))
                        least = left < 0 ? 0 : left;
        }
        return (int)least;
}

static void look_at_deadlines(struct guard *guard)
{
        int64_t now = hf_clock_msec(CLOCK_MONOTONIC);

        for (size_t i = 0; i < HF_GUARD_JOBS_MAX; i++)
                if (guard->jobs[i].fd >= 0 && guard->jobs[i].deadline <= now)
                        on_loss(guard, &guard->jobs[i], -ETIMEDOUT,
                                "it does not answer: opening it takes too long");
}

static void turn(struct guard *guard)
{
        struct pollfd fds[HF_GUARD_JOBS_MAX + 2];

        /* Without room for another job its request waits where it is. */
        fds[0] = (struct pollfd){.fd = guard->server, .events = find_place(guard) ? POLLIN : 0};
        fds[1] = (struct pollfd){.fd = guard->second, .events = POLLIN};
        for (size_t i = 0; i < HF_GUARD_JOBS_MAX; i++)
                fds[i + 2] = (struct pollfd){.fd = guard->jobs[i].fd, .events = POLLIN};
        if (poll(fds, HF_ARRAY_LEN(fds), next_deadline(guard)) < 0)
                return;
        if (fds[1].revents) {
                hf_close_fd(&guard->second);
                guard->second = hf_second_start(guard->server, guard->settings, &guard->table);
        }
        for (size_t i = 0; i < HF_GUARD_JOBS_MAX; i++)
                if (fds[i + 2].revents && guard->jobs[i].fd >= 0)
                        on_job(guard, &guard->jobs[i]);
        if (fds[0].revents & POLLIN)
                on_request(guard);
        else if (fds[0].revents)
                guard->ended = true;
        look_at_deadlines(guard);
}

static void set_signals(void)
{
        static const int ignored[] = {SIGCHLD, SIGHUP,  SIGINT,  SIGTERM, SIGPIPE,
                                      SIGTTOU, SIGTTIN, SIGUSR1, SIGUSR2, SIGQUIT};

        /* Children are reaped by the kernel: what became of them is seen by their connection. */
        for (size_t i = 0; i < HF_ARRAY_LEN(ignored); i++)
                (void)signal(ignored[i], SIG_IGN);
}

/* What it does must not come behind what is given back: it has the device open, and may set flags.
 */
static void end_running(struct running *job)
{
        struct pollfd gone = {.fd = job->pidfd, .events = POLLIN};

        if (job->fd >= 0 && job->pidfd >= 0) {
                (void)pidfd_send_signal(job->pidfd, SIGKILL, NULL, 0);
                (void)poll(&gone, 1, JOB_END_MSEC);
        }
        hf_close_fd(&job->fd);
}

/* The daemon is dead, or another guard has it all. */
static _Noreturn void end(struct guard *guard)
{
        for (size_t i = 0; i < HF_GUARD_JOBS_MAX; i++)
                end_running(&guard->jobs[i]);
        if (!guard->quit)
                hf_held_give_all_back(&guard->table, guard->settings->lock_dir,
                                      guard->settings->open_timeout_ms);
        (void)hf_second_tell(guard->second, HF_GUARD_QUIT, NULL, -1);
        _exit(0);
}

_Noreturn void hf_guard_serve(int fd, const struct hf_guard_settings *settings)
{
        struct guard *guard = calloc(1, sizeof(*guard));

        if (!guard)
                _exit(1);
        set_signals();
        (void)prctl(PR_SET_NAME, "console-guard");
        if (fd > 3)
                (void)close_range(3, (unsigned int)fd - 1, 0);
        (void)close_range((unsigned int)fd + 1, ~0U, 0);
        guard->server = fd;
        guard->pid = getpid();
        guard->settings = settings;
        for (size_t i = 0; i < HF_GUARD_JOBS_MAX; i++)
                guard->jobs[i].fd = guard->jobs[i].pidfd = -1;
        guard->second = hf_second_start(fd, settings, &guard->table);
        hf_uucp_sweep(settings->lock_dir, settings->swept);
        while (!guard->ended && !guard->quit)
                turn(guard);
        end(guard);
}
