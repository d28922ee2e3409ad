/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What a worker does. It may wait here for ever, so it touches nothing of the
 * server but its own record.
 */
#include "base/clock.h"
#include "base/path.h"
#include "daemon/guard-run.h"
#include "daemon/work.h"
#include "storage/behind.h"
#include "storage/posix-lock.h"
#include "storage/resource.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

void hf_work_end_with_supervisor(struct hf_keeper *keeper)
{
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != hf_keeper_pid(keeper))
                _exit(EXIT_FAILURE);
}

typedef void (*run_fn)(struct hf_worker *worker, struct hf_keeper *keeper);

/* Who has it now is written down for other hosts, or read. */
static void note_holder(struct hf_worker *worker, const struct hf_resource_result *result)
{
        const struct hf_order *order = &worker->order;
        struct hf_result *outcome = &worker->outcome;
        enum hf_record_verdict verdict;

        if (result->status == -EAGAIN)
                outcome->has_holder = hf_record_look(order->path, &outcome->holder, &verdict) ==
                                              0 &&
                                      verdict == HF_RECORD_HELD;
        else if (result->status == 0 && order->records && hf_record_is_wanted(result->fd))
                outcome->record_status = hf_record_write(result->fd, order->record_inside,
                                                         &order->record);
}

static void clear_record(const struct hf_order *order, int fd)
{
        if (order->records && hf_record_is_wanted(fd))
                hf_record_clear(fd, order->record_inside, &order->record);
}

static void run_take(struct hf_worker *worker, struct hf_keeper *keeper)
{
        const struct hf_order *order = &worker->order;
        struct hf_resource_request request = {
                .path = order->path, .shared = order->shared, .autocreate = order->autocreate};
        struct hf_resource_result result;
        int r;

        hf_resource_take(&request, &result);
        note_holder(worker, &result);
        worker->outcome.thing = result.file;
        worker->outcome.status = result.status;
        worker->outcome.fd = result.fd;
        if (result.fd < 0 || !keeper)
                return;
        r = hf_keeper_send_result(keeper, worker->number, result.fd);
        if (r >= 0)
                return;
        clear_record(order, result.fd);
        hf_resource_give(result.fd, order->autocreate ? order->path : NULL);
        worker->outcome.status = r;
        worker->outcome.fd = -1;
}

static uint64_t wall_clock(void)
{
        return hf_clock_usec(CLOCK_REALTIME);
}

/* Who has it since now. That it cannot be written costs nobody the lock. */
static void write_record(const struct hf_order *order, const struct hf_resource_result *result)
{
        struct hf_record record = order->record;

        if (result->fd < 0 || !order->records || !hf_record_is_wanted(result->fd))
                return;
        record.since = wall_clock();
        (void)hf_record_write(result->fd, order->record_inside, &record);
}

/* Nobody asks after it any more when all of ours are gone. */
static void run_await(struct hf_worker *worker, struct hf_keeper *keeper)
{
        const struct hf_order *order = &worker->order;
        struct hf_resource_request request = {
                .path = order->path, .shared = order->shared, .autocreate = order->autocreate};
        struct hf_resource_result result;

        hf_work_end_with_supervisor(keeper);
        hf_resource_await(&request, &result);
        write_record(order, &result);
        worker->outcome.thing = result.file;
        worker->outcome.status = result.status;
        worker->outcome.proved = result.proved;
        if (result.fd < 0)
                return;
        worker->outcome.status = hf_keeper_send_result(keeper, worker->number, result.fd);
        if (worker->outcome.status >= 0)
                return;
        clear_record(order, result.fd);
        hf_resource_give(result.fd, order->autocreate ? order->path : NULL);
}

static void run_give(struct hf_worker *worker, struct hf_keeper *keeper)
{
        const struct hf_order *order = &worker->order;

        (void)keeper;
        clear_record(order, order->fd);
        (order->posix ? hf_posix_give : hf_resource_give)(order->fd,
                                                          *order->path ? order->path : NULL);
}

static void run_find(struct hf_worker *worker, struct hf_keeper *keeper)
{
        const struct hf_order *order = &worker->order;

        (void)keeper;
        worker->outcome.status = hf_behind_find(order->pid, order->hash, &worker->outcome.thing);
}

static void run_identify(struct hf_worker *worker, struct hf_keeper *keeper)
{
        (void)keeper;
        worker->outcome.status = hf_resource_identify(worker->order.path, &worker->outcome.thing);
}

static int make_lockspace(const char *path, struct hf_error *err)
{
        struct stat st;
        int r;

        if (stat(path, &st) == 0) {
                if (S_ISDIR(st.st_mode))
                        return 0;
                return hf_error_set(err, ENOTDIR, HF_ERR_INTERNAL, HF_FROM_LOCKSPACE,
                                    "the lockspace %s exists and is not a directory", path);
        }
        if (errno != ENOENT)
                return hf_error_sys(err, errno, "cannot use the lockspace %s", path);
        r = hf_path_make_dirs(path, 0700, err);
        if (r == -EEXIST) /* a symlink that leads nowhere */
                r = -ENOTDIR;
        return r < 0 ? hf_error_sys(err, -r, "cannot make the lockspace %s", path) : 0;
}

static void run_lockspace(struct hf_worker *worker, struct hf_keeper *keeper)
{
        (void)keeper;
        worker->outcome.status = make_lockspace(worker->order.path, &worker->outcome.error);
}

static void run_create(struct hf_worker *worker, struct hf_keeper *keeper)
{
        (void)keeper;
        worker->outcome.status = hf_resource_create(worker->order.path);
}

static void run_delete(struct hf_worker *worker, struct hf_keeper *keeper)
{
        (void)keeper;
        worker->outcome.status = hf_resource_delete(worker->order.path);
}

static const run_fn runs[] = {
        [HF_WORK_TAKE] = run_take,
        [HF_WORK_GIVE] = run_give,
        [HF_WORK_FIND] = run_find,
        [HF_WORK_IDENTIFY] = run_identify,
        [HF_WORK_LOCKSPACE] = run_lockspace,
        [HF_WORK_CREATE] = run_create,
        [HF_WORK_DELETE] = run_delete,
        [HF_WORK_AWAIT] = run_await,
        [HF_WORK_RENEW] = hf_guard_run_renew,
        [HF_WORK_PROVE] = hf_guard_run_prove,
        [HF_WORK_MONITOR] = hf_guard_run_monitor,
        [HF_WORK_SIGNAL] = hf_guard_run_signal,
};

/* This asks the filesystem of its directory, and no other one. */
static bool is_symlink(const char *path)
{
        struct stat st;

        return lstat(path, &st) == 0 && S_ISLNK(st.st_mode);
}

void hf_work_run(struct hf_worker *worker, struct hf_keeper *keeper)
{
        const struct hf_order *order = &worker->order;

        worker->outcome.begun = hf_work_boottime();
        if (order->guessed && is_symlink(order->path))
                worker->outcome.elsewhere = true;
        else
                runs[order->kind](worker, keeper);
        atomic_store_explicit(&worker->state, HF_WORKER_DONE, memory_order_release);
}
