/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "console/guard-private.h"

#include "base/cleanup.h"

#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

/* A child of the guard, for one request that may take its time. */

void hf_job_fail(struct hf_job *job, int result, const char *format, ...)
{
        va_list args;

        job->reply.result = result;
        va_start(args, format);
        (void)vsnprintf(job->reply.text, sizeof(job->reply.text), format, args);
        va_end(args);
}

void hf_job_intruder(struct hf_job *job, const struct hf_opener *who, const char *how)
{
        struct hf_intruder *intruder;

        if (job->reply.n_intruders == HF_INTRUDERS_MAX)
                return;
        intruder = &job->reply.intruders[job->reply.n_intruders++];
        intruder->pid = who->pid;
        intruder->uid = who->uid;
        (void)snprintf(intruder->program, sizeof(intruder->program), "%s", who->program);
        (void)snprintf(intruder->how, sizeof(intruder->how), "%s", how);
}

static bool send_to_guard(struct hf_job *job, uint32_t op, int fd)
{
        job->reply.version = HF_GUARD_VERSION;
        job->reply.op = op;
        job->reply.id = job->request.id;
        return hf_guard_send_record(job->fd, &job->reply, sizeof(job->reply), fd, 0) == 0;
}

bool hf_job_stage(struct hf_job *job)
{
        char byte;

        return send_to_guard(job, HF_GUARD_STAGED, job->device) && recv(job->fd, &byte, 1, 0) == 1;
}

static void fill_lock_names(struct hf_job *job, struct hf_hold *hold)
{
        const pid_t before[] = {hold->uucp.pid, job->guard, 0};
        struct hf_uucp_holder holder;
        struct hf_error err;
        struct hf_uucp made;

        if (hf_uucp_take(job->settings->lock_dir, hold->path, (dev_t)hold->rdev, job->guard, before,
                         &made, &holder, &err) < 0)
                (void)snprintf(job->reply.text, sizeof(job->reply.text), "%.500s", err.text);
        else
                hold->uucp = made;
}

/* Of a guard that is gone: all that it had set is set again, in our name. */
static void adopt(struct hf_job *job)
{
        struct hf_hold *hold = &job->reply.hold;

        if (hold->kind != HF_DEVICE_TTY)
                return;
        (void)flock(job->device, LOCK_EX | LOCK_NB);
        fill_lock_names(job, hold);
        hold->exclusive = ioctl(job->device, TIOCEXCL) == 0;
}

static void release(struct hf_job *job)
{
        hf_held_give_back(job->table, job->settings->lock_dir, &job->reply.hold, job->device);
}

static void look(struct hf_job *job)
{
        hf_cleanup_free struct hf_openers *who = malloc(sizeof(*who));
        struct stat st;

        if (!who || job->reply.hold.kind != HF_DEVICE_TTY || fstat(job->device, &st) < 0)
                return;
        if (job->reply.hold.exclusive)
                (void)ioctl(job->device, TIOCEXCL);
        hf_openers_find(&st, job->device, who);
        for (size_t i = 0; i < who->n; i++)
                if (!who->list[i].dead)
                        hf_job_intruder(job, &who->list[i], "has it open");
}

/* Only what it needs stays open: what another job still has does not go away. */
static void close_others(struct hf_job *job)
{
        int fd = dup(job->fd), device = job->device < 0 ? -1 : dup(job->device);

        (void)dup2(fd, 3);
        if (device >= 0)
                (void)dup2(device, 4);
        (void)close_range(device >= 0 ? 5 : 4, ~0U, 0);
        job->fd = 3;
        job->device = device >= 0 ? 4 : -1;
}

_Noreturn void hf_job_run(struct hf_job *job)
{
        bool take = job->request.op == HF_GUARD_TAKE;
        char byte;

        close_others(job);
        if (take) {
                hf_job_take(job);
                if (job->reply.result < 0 && job->device >= 0)
                        (void)flock(job->device, LOCK_UN);
        } else if (job->request.op == HF_GUARD_ADOPT) {
                adopt(job);
        } else if (job->request.op == HF_GUARD_RELEASE) {
                release(job);
        } else {
                look(job);
        }
        if (!send_to_guard(job, job->request.op, -1) && take && job->reply.result == 0)
                hf_held_give_back(job->table, job->settings->lock_dir, &job->reply.hold,
                                  job->device);
        /* The last to close the device is this process, when the guard has let go of it. */
        (void)recv(job->fd, &byte, 1, 0);
        _exit(0);
}
