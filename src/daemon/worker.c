/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The workers: their records, their beginning, and what is done at their end. */
#include "daemon/work-private.h"

#include "base/cleanup.h"
#include "base/process.h"
#include "daemon/await.h"
#include "daemon/guard.h"
#include "daemon/release.h"
#include "storage/resource.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/pidfd.h>

/* A free record; -1: there is none. Paths of unknown filesystems may have half of all. */
int hf_worker_find_free(struct hf_works *works, const struct hf_place *place)
{
        int begin = 0, end = HF_WORKERS_COMMON, found = -1;
        unsigned int unknown = 0;

        if (place->key.kind == HF_PLACE_AWAIT) {
                begin = HF_WORKERS_COMMON + HF_WORKERS_GUARD;
                end = HF_WORKERS_MAX;
        } else if (place->key.kind >= HF_PLACE_LEASE) {
                begin = HF_WORKERS_COMMON;
                end = HF_WORKERS_COMMON + HF_WORKERS_GUARD;
        }
        for (int i = end; i-- > begin;) {
                const struct hf_worker *worker = hf_worker_at(works, i);

                if (hf_worker_state(worker) == HF_WORKER_NONE)
                        found = i;
                else
                        unknown += worker->where.kind == HF_PLACE_PATH;
        }
        if (place->key.kind == HF_PLACE_PATH && unknown >= HF_WORKERS_COMMON / 2)
                return -1;
        return found;
}

/* After so many workers that were killed at it, a job is to blame. */
#define LOST_MAX 5

static int on_ended(sd_event_source *source, int fd, uint32_t revents, void *data);

static void watch(struct hf_works *works, int index)
{
        const struct hf_worker *worker = hf_worker_at(works, index);

        if (worker->pidfd < 0)
                hf_work_go_on_soon(works);
        else if (sd_event_add_io(works->server->event, &works->slots[index].watch, worker->pidfd,
                                 EPOLLIN, on_ended, works) < 0)
                hf_work_retry_later(works);
}

/* Which descriptors this server has. */
static uint32_t table_of(const struct hf_works *works)
{
        return works->keeper ? hf_keeper_table(works->keeper) : 0;
}

static void fill_record(struct hf_works *works, struct hf_worker *worker, const struct hf_job *job)
{
        worker->given_up = 0;
        worker->apart = 0;
        worker->pidfd = -1;
        worker->table = table_of(works);
        worker->since = hf_work_now_usec();
        worker->number = worker->since > works->last_number ? worker->since
                                                            : works->last_number + 1;
        works->last_number = worker->number;
        worker->client = job->client;
        worker->service = job->service;
        worker->where = job->place->key;
        worker->order = job->order;
        worker->outcome = (struct hf_result){.fd = -1};
        atomic_store_explicit(&worker->state, HF_WORKER_RUNS, memory_order_release);
}

/*
 * Makes the process. With a full table of descriptors a lock can be given back all the
 * same, at the cost of the one that is kept to be able to refuse clients.
 */
static int make_process(struct hf_works *works, struct hf_worker *worker)
{
        enum hf_work_kind kind = worker->order.kind;
        bool gives = kind == HF_WORK_GIVE;
        enum hf_keeper_table table = hf_work_shares(kind) ? HF_KEEPER_TABLE_SHARED
                                                          : HF_KEEPER_TABLE_OWN;
        pid_t pid = hf_keeper_clone_worker(works->keeper, table, &worker->pidfd);

        if (pid == -EMFILE && gives && works->server->spare_fd >= 0) {
                hf_close_fd(&works->server->spare_fd);
                pid = hf_keeper_clone_worker(works->keeper, table, &worker->pidfd);
        }
        if (pid != 0)
                return pid;
        worker->apart = table == HF_KEEPER_TABLE_OWN;
        hf_work_run(worker, works->keeper);
        _exit(EXIT_SUCCESS);
}

/* Makes the worker for a job, in a free record. */
int hf_worker_launch(struct hf_works *works, int index, struct hf_job *job)
{
        struct hf_worker *worker = hf_worker_at(works, index);
        int r = 0;

        fill_record(works, worker, job);
        if (works->keeper) {
                r = make_process(works, worker);
        } else {
                hf_work_run(worker, NULL);
                works->slots[index].fd = worker->outcome.fd;
        }
        if (r < 0) {
                atomic_store(&worker->state, HF_WORKER_NONE);
                return r;
        }
        works->deleting += job->order.kind == HF_WORK_DELETE;
        job->place->worker = index;
        job->worker = index;
        if (job->done)
                works->slots[index].job = job;
        watch(works, index);
        return 0;
}

/* What workers have sent goes to the slots; what nobody waits for is given back. */
static void fetch_results(struct hf_works *works)
{
        uint64_t number;
        int fd;

        while (works->keeper && hf_keeper_receive_result(works->keeper, &number, &fd) > 0) {
                struct hf_thing thing;
                int i = 0;

                if (fd < 0)
                        continue;
                while (i < HF_WORKERS_MAX &&
                       (hf_worker_at(works, i)->number != number ||
                        hf_worker_state(hf_worker_at(works, i)) == HF_WORKER_NONE))
                        i++;
                if (i < HF_WORKERS_MAX && works->slots[i].fd < 0)
                        works->slots[i].fd = fd;
                else if (hf_resource_of_fd(fd, &thing) == 0)
                        hf_work_dispose(works->server, fd, &thing, NULL);
        }
}

/* A number of which the table tells. */
static bool is_recorded(struct hf_table *table, int fd)
{
        for (uint32_t i = 0; (i = hf_table_next_hold(table, i));)
                if (hf_table_lock(table, hf_table_hold(table, i)->lock)->fd == fd)
                        return true;
        return false;
}

static void given(struct hf_works *works, const struct hf_order *order, bool closed)
{
        struct hf_thing now;

        if (order->lock)
                hf_given(works->server, order, closed);
        else if (!closed && hf_resource_of_fd(order->fd, &now) == 0 &&
                 hf_thing_same(&now, &order->thing) &&
                 !is_recorded(works->server->table, order->fd))
                hf_work_dispose(works->server, order->fd, &now, *order->path ? order->path : NULL);
}

static void complete(struct hf_works *works, struct hf_job *job, const struct hf_order *order,
                     struct hf_result *outcome)
{
        if (job)
                hf_job_tell(job, outcome);
        else if (outcome->fd >= 0)
                hf_work_dispose(works->server, outcome->fd, &outcome->thing,
                                order->autocreate ? order->path : NULL);
}

/* Whether what came of it is not what was ordered, as its worker was ended before. */
static bool was_cut_off(const struct hf_order *order, const struct hf_result *outcome, bool done)
{
        bool takes = order->kind == HF_WORK_TAKE || order->kind == HF_WORK_AWAIT;

        return !done || (takes && !outcome->elsewhere && outcome->status == 0 && outcome->fd < 0);
}

/* Makes a failure of it. What was sent before is not wanted either. */
static void cut_off(struct hf_works *works, const struct hf_order *order, struct hf_result *outcome)
{
        /* A stand-in is left for the next try, but not by who was not to go on. */
        const char *path = order->kind == HF_WORK_AWAIT && order->autocreate ? order->path : NULL;

        outcome->status = hf_error_set(&outcome->error, EINTR, HF_ERR_INTERNAL, HF_FROM_LOCKSPACE,
                                       "the process that did so was ended; try again");
        if (outcome->fd >= 0 && hf_resource_of_fd(outcome->fd, &outcome->thing) == 0)
                hf_work_dispose(works->server, outcome->fd, &outcome->thing, path);
        outcome->fd = -1;
}

/* Its record, and its place, are free for another one. Returns the place, or NULL. */
static struct hf_place *clear_slot(struct hf_works *works, int index)
{
        struct hf_worker *worker = hf_worker_at(works, index);
        struct hf_place *place = works->places;

        works->adopted -= works->slots[index].adopted;
        works->slots[index].adopted = false;
        works->slots[index].watch = sd_event_source_disable_unref(works->slots[index].watch);
        works->slots[index].job = NULL;
        works->slots[index].fd = -1;
        works->deleting -= worker->order.kind == HF_WORK_DELETE;
        works->gives[worker->order.lock] = false;
        atomic_store_explicit(&worker->state, HF_WORKER_NONE, memory_order_release);
        while (place && place->worker != index)
                place = place->next;
        if (place)
                place->worker = -1;
        return place;
}

/* What came of it, with the worker's record free again before anything is done about it. */
static void finish(struct hf_works *works, int index)
{
        struct hf_worker *worker = hf_worker_at(works, index);
        hf_cleanup_fd int pidfd = worker->pidfd;
        struct hf_order order = worker->order;
        struct hf_result outcome = worker->outcome;
        struct hf_job *job = works->slots[index].job;
        struct hf_place_key where = worker->where;
        bool done = hf_worker_state(worker) == HF_WORKER_DONE, again = false;
        bool closed = done && worker->table == table_of(works);
        struct hf_place *place;

        fetch_results(works);
        outcome.fd = works->slots[index].fd;
        if (was_cut_off(&order, &outcome, done)) {
                cut_off(works, &order, &outcome);
                /* What was begun by a worker that was killed can be done once more. */
                again = job && order.kind != HF_WORK_GIVE && ++job->lost < LOST_MAX;
        }
        place = clear_slot(works, index);
        if (works->server->spare_fd < 0)
                works->server->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
        if (order.kind == HF_WORK_GIVE)
                given(works, &order, closed);
        if (hf_work_is_guards(order.kind)) {
                /* It may begin something else there. */
                if (place)
                        hf_place_drop_unused(works, place);
                hf_guard_ended(works->server, &order, &outcome, done);
        }
        if (order.kind == HF_WORK_AWAIT)
                hf_await_ended(works->server, where.number, &order, &outcome);
        else if (again)
                hf_job_again(job);
        else if (job && outcome.elsewhere)
                hf_job_move(job);
        else if (job || (order.kind != HF_WORK_GIVE && !hf_work_is_guards(order.kind)))
                complete(works, job, &order, &outcome);
        hf_work_start_all(works);
}

static int on_ended(sd_event_source *source, int fd, uint32_t revents, void *data)
{
        struct hf_works *works = data;

        (void)source;
        (void)revents;
        for (int i = 0; i < HF_WORKERS_MAX; i++)
                if (hf_worker_state(hf_worker_at(works, i)) != HF_WORKER_NONE &&
                    hf_worker_at(works, i)->pidfd == fd) {
                        finish(works, i);
                        break;
                }
        return 0;
}

static bool has_ended(const struct hf_worker *worker)
{
        return worker->pidfd < 0 || hf_process_pidfd_is_dead(worker->pidfd) != 0;
}

void hf_workers_look_after(struct hf_works *works)
{
        for (int i = 0; i < HF_WORKERS_MAX; i++) {
                struct hf_worker *worker = hf_worker_at(works, i);

                if (hf_worker_state(worker) == HF_WORKER_NONE || works->slots[i].watch)
                        continue;
                if (has_ended(worker))
                        finish(works, i);
                else
                        watch(works, i);
        }
}

bool hf_work_is_under_way(struct hf_server *server, const struct hf_session *session)
{
        struct hf_works *works = server->works;

        for (int i = 0; works->adopted && i < HF_WORKERS_MAX; i++) {
                const struct hf_worker *worker = hf_worker_at(works, i);

                if (hf_worker_state(worker) != HF_WORKER_NONE && works->slots[i].adopted &&
                    !worker->given_up && worker->client == session->id &&
                    worker->service == (uint32_t)session->kind)
                        return true;
        }
        return false;
}

void hf_work_check(struct hf_worker *workers)
{
        for (int i = 0; i < HF_WORKERS_MAX; i++) {
                struct hf_worker *worker = &workers[i];

                if (hf_worker_state(worker) != HF_WORKER_NONE && worker->pidfd >= 0 &&
                    pidfd_send_signal(worker->pidfd, 0, NULL, 0) < 0 && errno != ESRCH &&
                    errno != EPERM)
                        worker->pidfd = -1;
        }
}

int hf_work_adopt(struct hf_server *server)
{
        struct hf_works *works = server->works;

        for (int i = 0; i < HF_WORKERS_MAX; i++) {
                struct hf_worker *worker = hf_worker_at(works, i);
                struct hf_place *place;

                if (hf_worker_state(worker) == HF_WORKER_NONE)
                        continue;
                place = hf_place_get(works, worker->where, worker->order.path);
                if (!place)
                        return -ENOMEM;
                place->worker = i;
                works->slots[i].adopted = true;
                works->adopted++;
                works->deleting += worker->order.kind == HF_WORK_DELETE;
                works->gives[worker->order.lock] = worker->order.kind == HF_WORK_GIVE;
                watch(works, i);
        }
        return 0;
}

void hf_work_each_fd(const struct hf_worker *workers, uint32_t table,
                     void (*each)(void *data, int fd), void *data)
{
        for (int i = 0; i < HF_WORKERS_MAX; i++) {
                if (hf_worker_state(&workers[i]) == HF_WORKER_NONE)
                        continue;
                each(data, workers[i].pidfd);
                if (workers[i].order.kind == HF_WORK_GIVE && workers[i].table == table)
                        each(data, workers[i].order.fd);
        }
}
