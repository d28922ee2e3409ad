/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The jobs: where each waits for its turn, for how long, and who is told. */
#include "daemon/work-private.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "daemon/acquire.h"
#include "daemon/holder.h"
#include "daemon/posix.h"
#include "daemon/release.h"
#include "storage/resource.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>

#define MODULE "daemon.work"

/* Before a worker that could not be made is tried again. */
#define RETRY_USEC 100000

uint64_t hf_work_now_usec(void)
{
        return hf_clock_usec(CLOCK_MONOTONIC);
}

/* What could not be done is tried again after a while. */
void hf_work_retry_later(struct hf_works *works)
{
        (void)sd_event_source_set_time_relative(works->retry, RETRY_USEC);
        (void)sd_event_source_set_enabled(works->retry, SD_EVENT_ONESHOT);
}

/* What is not to be done from here is done in the loop's next turn. */
void hf_work_go_on_soon(struct hf_works *works)
{
        (void)sd_event_source_set_enabled(works->soon, SD_EVENT_ON);
}

void hf_job_again(struct hf_job *job)
{
        job->worker = -1;
        hf_place_enqueue(job);
}

/* Not between the look at who holds it and its removal: somebody may have taken it since. */
static bool is_held(struct hf_works *works, const struct hf_order *order, struct hf_error *err)
{
        struct hf_table *table = works->server->table;
        uint32_t lock;

        if (order->kind != HF_WORK_DELETE)
                return false;
        lock = hf_table_find_file(table, &order->thing, 0);
        if (!lock)
                lock = hf_table_find_thing(table, &order->thing, 0);
        if (!lock)
                return false;
        (void)hf_refuse(works->server, hf_table_lock(table, lock)->first_hold, order->path, err);
        return true;
}

static void job_delete(struct hf_job *job)
{
        (void)sd_event_source_disable_unref(job->deadline);
        free(job);
}

/* Ends a job with an outcome. */
void hf_job_tell(struct hf_job *job, const struct hf_result *outcome)
{
        hf_work_done done = job->done;
        void *data = job->data;

        job_delete(job);
        if (done)
                done(data, outcome);
}

void hf_job_move(struct hf_job *job)
{
        struct hf_result outcome = {.status = -ENOMEM, .fd = -1};
        struct hf_place *place = hf_place_get(
                job->works, hf_place_of(job->works, &job->order, NULL), job->order.path);

        job->order.guessed = false;
        if (place) {
                job->place = place;
                hf_job_again(job);
                return;
        }
        (void)hf_error_sys(&outcome.error, ENOMEM, "cannot ask its filesystem");
        hf_job_tell(job, &outcome);
}

/* Gives the place's next job to a worker. False: somebody was told, and all may be otherwise now.
 */
static bool start_next(struct hf_works *works, struct hf_place *place)
{
        struct hf_result outcome = {.fd = -1};
        struct hf_job *job = place->first;
        int index = job && place->worker < 0 ? hf_worker_find_free(works, place) : -1;

        if (index < 0)
                return true;
        if (is_held(works, &job->order, &outcome.error)) {
                outcome.status = -EBUSY;
                hf_place_dequeue(job);
                hf_job_tell(job, &outcome);
                return false;
        }
        outcome.status = hf_worker_launch(works, index, job);
        if (outcome.status >= 0) {
                hf_place_dequeue(job);
                if (!job->done)
                        job_delete(job);
                return true;
        }
        /* A lock is given back for as long as it takes, others are told. */
        if (job->order.kind == HF_WORK_GIVE) {
                hf_work_retry_later(works);
                return true;
        }
        hf_place_dequeue(job);
        hf_job_tell(job, &outcome);
        return false;
}

void hf_work_start_all(struct hf_works *works)
{
        for (struct hf_place *next, *place = works->places; place; place = next) {
                next = place->next;
                if (start_next(works, place))
                        hf_place_drop_unused(works, place);
                else
                        next = works->places;
        }
}

static void go_on(struct hf_works *works)
{
        hf_workers_look_after(works);
        hf_release_retry(works->server);
        hf_work_start_all(works);
}

static int on_retry(sd_event_source *source, uint64_t usec, void *data)
{
        (void)source;
        (void)usec;
        go_on(data);
        return 0;
}

static int on_soon(sd_event_source *source, int fd, uint32_t revents, void *data)
{
        struct hf_server *server = data;

        (void)fd;
        (void)revents;
        (void)sd_event_source_set_enabled(source, SD_EVENT_OFF);
        go_on(server->works);
        return 0;
}

/* ---- jobs ---- */

/* Nobody waits for it any more; later servers learn it too. What is to be given back still is. */
static void give_up(struct hf_job *job)
{
        struct hf_place *place = job->place;

        job->deadline = sd_event_source_disable_unref(job->deadline);
        job->done = NULL;
        if (job->worker < 0 && job->order.kind == HF_WORK_GIVE)
                return;
        if (job->worker < 0) {
                hf_place_dequeue(job);
                hf_place_drop_unused(job->works, place);
        } else {
                hf_worker_at(job->works, job->worker)->given_up = 1;
                job->works->slots[job->worker].job = NULL;
        }
        job_delete(job);
}

struct hf_job *hf_job_free(struct hf_job *job)
{
        if (job)
                give_up(job);
        return NULL;
}

static unsigned int seconds_since(uint64_t usec)
{
        return (unsigned int)((hf_work_now_usec() - usec) / 1000000);
}

static int on_deadline(sd_event_source *source, uint64_t usec, void *data)
{
        struct hf_job *job = data;
        struct hf_result outcome = {.fd = -1};
        hf_work_done done = job->done;
        void *its_data = job->data;

        (void)source;
        (void)usec;
        outcome.status = hf_error_set(&outcome.error, ETIMEDOUT, HF_ERR_SYSTEM, HF_FROM_LOCKSPACE,
                                      "its filesystem (%s) has not answered for %u s",
                                      job->place->what ? job->place->what : "?",
                                      seconds_since(job->begin));
        outcome.error.sys = ETIMEDOUT;
        hf_log(HF_LOG_WARNING, MODULE, "client %llu gives up waiting: %s",
               (unsigned long long)job->client, outcome.error.text);
        give_up(job);
        done(its_data, &outcome);
        return 0;
}

static int set_deadline(struct hf_job *job)
{
        struct hf_server *server = job->works->server;
        uint64_t timeout = (uint64_t)server->config->filesystem_timeout * 1000000;

        job->deadline = sd_event_source_disable_unref(job->deadline);
        if (!job->done)
                return 0;
        return sd_event_add_time(server->event, &job->deadline, CLOCK_MONOTONIC,
                                 job->begin + timeout, 1000, on_deadline, job);
}

/* The worker that an earlier server made for the same request, or -1. */
static int find_worker(struct hf_works *works, const struct hf_job *job)
{
        const struct hf_order *order = &job->order;

        if (order->kind == HF_WORK_GIVE)
                return -1;
        for (int i = 0; i < HF_WORKERS_MAX; i++) {
                const struct hf_worker *worker = hf_worker_at(works, i);
                const struct hf_order *its = &worker->order;

                if (hf_worker_state(worker) != HF_WORKER_NONE && !worker->given_up &&
                    !works->slots[i].job && worker->client == job->client &&
                    worker->service == job->service && its->kind == order->kind &&
                    its->shared == order->shared && its->autocreate == order->autocreate &&
                    its->pid == order->pid && !strcmp(its->path, order->path) &&
                    !strcmp(its->hash, order->hash))
                        return i;
        }
        return -1;
}

static int refuse_more(const struct hf_works *works, const struct hf_place *place,
                       struct hf_error *err)
{
        uint64_t since = place->worker < 0 ? hf_work_now_usec()
                                           : works->server->area->workers[place->worker].since;

        return hf_error_set(err, EAGAIN, HF_ERR_OPERATION_DENIED, HF_FROM_LOCKSPACE,
                            "its filesystem (%s) has not answered for %u s, and %u requests wait "
                            "for it already",
                            place->what ? place->what : "?", seconds_since(since), place->waiting);
}

/* Puts the job where it belongs: to a worker that is busy with it already, or into a queue. */
static int place_job(struct hf_works *works, struct hf_job *job, struct hf_error *err)
{
        int index = find_worker(works, job);
        struct hf_place_key key = index < 0 ? hf_place_of(works, &job->order, &job->order.guessed)
                                            : hf_worker_at(works, index)->where;

        job->place = hf_place_get(works, key, job->order.path);
        if (!job->place)
                return hf_error_sys(err, ENOMEM, "cannot ask its filesystem");
        if (index >= 0) {
                job->worker = index;
                job->begin = hf_worker_at(works, index)->since;
                job->order.guessed = hf_worker_at(works, index)->order.guessed;
                works->slots[index].job = job;
                return set_deadline(job);
        }
        if (job->order.kind != HF_WORK_GIVE && job->place->waiting >= HF_WORK_WAITING_MAX)
                return refuse_more(works, job->place, err);
        return 1;
}

/*
 * Begins at once where nobody is busy there. What has to be told of it is told later, so
 * a removal, which is judged once more before it begins, always waits for its turn.
 */
static int begin_job(struct hf_works *works, struct hf_job *job, struct hf_error *err)
{
        enum hf_work_kind kind = job->order.kind;
        int index = -1, r;

        if (kind != HF_WORK_DELETE && !job->place->first && job->place->worker < 0)
                index = hf_worker_find_free(works, job->place);
        r = index < 0 ? -EAGAIN : hf_worker_launch(works, index, job);
        if (r >= 0) {
                if (!job->done)
                        job_delete(job);
                return 0;
        }
        if (index >= 0 && kind != HF_WORK_GIVE)
                return hf_error_sys(err, -r, "no process can be made to ask its filesystem");
        hf_place_enqueue(job);
        if (index >= 0)
                hf_work_retry_later(works);
        else if (job->place->worker < 0)
                hf_work_go_on_soon(works);
        return 0;
}

int hf_work_start(struct hf_server *server, const struct hf_session *session,
                  const struct hf_order *order, hf_work_done done, void *data, struct hf_job **ret,
                  struct hf_error *err)
{
        struct hf_works *works = server->works;
        struct hf_job *job = malloc(sizeof(*job));
        int r;

        if (!job) {
                hf_work_retry_later(works);
                return hf_error_sys(err, ENOMEM, "cannot ask its filesystem");
        }
        *job = (struct hf_job){
                .works = works,
                .worker = -1,
                .order = *order,
                .client = session ? session->id : 0,
                .service = session ? (uint32_t)session->kind : 0,
                .done = done,
                .data = data,
                .begin = hf_work_now_usec(),
        };
        r = set_deadline(job);
        if (r < 0)
                (void)hf_error_sys(err, -r, "cannot wait for its filesystem");
        else
                r = place_job(works, job, err);
        if (ret)
                *ret = job;
        if (r > 0)
                r = begin_job(works, job, err);
        if (r >= 0) {
                works->gives[order->lock] = order->kind == HF_WORK_GIVE;
                return 0;
        }
        if (ret)
                *ret = NULL;
        job_delete(job);
        hf_work_go_on_soon(works); /* the record of its place may be of no more use */
        return r;
}

int hf_order_set_path(struct hf_order *order, const char *path)
{
        size_t len = strlen(path);

        if (len >= sizeof(order->path))
                return -ENAMETOOLONG;
        memcpy(order->path, path, len + 1);
        return 0;
}

/* ---- giving back ---- */

void hf_work_dispose(struct hf_server *server, int fd, const struct hf_thing *thing,
                     const char *path)
{
        struct hf_order order = {.kind = HF_WORK_GIVE, .fd = fd, .thing = *thing};

        /* It stays open, also in a next program; without the lock the number is one too many. */
        if (hf_posix_keeps(server, thing)) {
                (void)fcntl(fd, F_SETFD, 0);
                return;
        }
        if (path && hf_order_set_path(&order, path) < 0)
                path = NULL;
        hf_holder_clear(server, path, &order);
        if (!path && hf_work_closes(server, thing)) {
                hf_resource_give(fd, NULL);
                return;
        }
        /* An execution must not close it either, where it would wait. */
        (void)fcntl(fd, F_SETFD, 0);
        /* Without memory it stays open, until there is a next server. */
        if (hf_work_start(server, NULL, &order, NULL, NULL, NULL, NULL) < 0)
                hf_log(HF_LOG_ERROR, MODULE, "out of memory: a file stays open");
}

bool hf_work_gives(struct hf_server *server, uint32_t lock)
{
        return server->works->gives[lock];
}

bool hf_work_deletes(struct hf_server *server, const struct hf_thing *thing)
{
        struct hf_works *works = server->works;

        for (int i = 0; works->deleting && i < HF_WORKERS_MAX; i++) {
                const struct hf_worker *worker = hf_worker_at(works, i);

                if (hf_worker_state(worker) != HF_WORKER_NONE &&
                    worker->order.kind == HF_WORK_DELETE &&
                    hf_thing_same(&worker->order.thing, thing))
                        return true;
        }
        return false;
}

/* ---- begin and end ---- */

static int on_mounts(sd_event_source *source, int fd, uint32_t revents, void *data)
{
        struct hf_works *works = data;

        (void)source;
        (void)fd;
        (void)revents;
        hf_mounts_changed(works->mounts);
        return 0;
}

int hf_work_new(struct hf_server *server, struct hf_keeper *keeper)
{
        struct hf_works *works = calloc(1, sizeof(*works));
        int r;

        if (!works)
                return -ENOMEM;
        server->works = works;
        works->server = server;
        works->keeper = keeper;
        for (int i = 0; i < HF_WORKERS_MAX; i++)
                works->slots[i].fd = -1;
        r = sd_event_add_time_relative(server->event, &works->retry, CLOCK_MONOTONIC, 0, 1000,
                                       on_retry, works);
        if (r >= 0)
                r = hf_server_add_background(server, on_soon, &works->soon);
        if (r >= 0)
                r = sd_event_source_set_enabled(works->retry, SD_EVENT_OFF);
        if (r < 0)
                return r;
        if (hf_mounts_new(&works->mounts) < 0)
                return 0;
        return sd_event_add_io(server->event, &works->mounts_watch, hf_mounts_fd(works->mounts),
                               EPOLLPRI, on_mounts, works);
}

void hf_work_free(struct hf_server *server)
{
        struct hf_works *works = server->works;

        if (!works)
                return;
        hf_work_let_go(works);
        while (works->places) {
                struct hf_place *place = works->places;

                while (place->first) {
                        struct hf_job *job = place->first;

                        hf_place_dequeue(job);
                        job_delete(job);
                }
                place->worker = -1;
                hf_place_drop_unused(works, place);
        }
        for (int i = 0; i < HF_WORKERS_MAX; i++)
                (void)sd_event_source_disable_unref(works->slots[i].watch);
        (void)sd_event_source_disable_unref(works->mounts_watch);
        (void)sd_event_source_disable_unref(works->retry);
        (void)sd_event_source_disable_unref(works->soon);
        (void)hf_mounts_free(works->mounts);
        free(works);
        server->works = NULL;
}
