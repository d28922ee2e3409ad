/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/work-private.h"

#include "base/cleanup.h"
#include "base/log.h"
#include "base/process.h"
#include "daemon/acquire.h"
#include "daemon/area.h"
#include "daemon/release.h"
#include "storage/resource.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/pidfd.h>
#include <time.h>

#define MODULE "daemon.work"

/* Before a worker that could not be made is tried again. */
#define RETRY_USEC 100000

static uint64_t now_usec(void)
{
        struct timespec now;

        (void)clock_gettime(CLOCK_MONOTONIC, &now);
        return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static uint32_t state_of(const struct hf_worker *worker)
{
        return atomic_load_explicit(&worker->state, memory_order_acquire);
}

static struct hf_worker *worker_at(struct hf_works *works, int index)
{
        return &works->server->area->workers[index];
}

/* What could not be done is tried again after a while. */
static void retry_later(struct hf_works *works)
{
        (void)sd_event_source_set_time_relative(works->retry, RETRY_USEC);
        (void)sd_event_source_set_enabled(works->retry, SD_EVENT_ONESHOT);
}

/* What is not to be done from here is done in the loop's next turn. */
static void go_on_soon(struct hf_works *works)
{
        (void)sd_event_source_set_enabled(works->soon, SD_EVENT_ON);
}

/* ---- the queue of a place ---- */

static void enqueue(struct hf_job *job)
{
        struct hf_place *place = job->place;

        job->next = NULL;
        *place->end = job;
        place->end = &job->next;
        place->waiting += job->order.kind != HF_WORK_GIVE;
}

static void dequeue(struct hf_job *job)
{
        struct hf_place *place = job->place;
        struct hf_job **at = &place->first;

        while (*at != job)
                at = &(*at)->next;
        *at = job->next;
        if (place->end == &job->next)
                place->end = at;
        place->waiting -= job->order.kind != HF_WORK_GIVE;
}

/* ---- workers ---- */

/* A free record; -1: there is none. Paths of unknown filesystems may have half of all. */
static int free_worker(struct hf_works *works, const struct hf_place *place)
{
        int found = -1;
        unsigned int unknown = 0;

        for (int i = HF_WORKERS_MAX; i-- > 0;) {
                const struct hf_worker *worker = worker_at(works, i);

                if (state_of(worker) == HF_WORKER_NONE)
                        found = i;
                else
                        unknown += worker->where.kind == HF_PLACE_PATH;
        }
        if (place->key.kind == HF_PLACE_PATH && unknown >= HF_WORKERS_MAX / 2)
                return -1;
        return found;
}

static int on_ended(sd_event_source *source, int fd, uint32_t revents, void *data);

static void watch(struct hf_works *works, int index)
{
        const struct hf_worker *worker = worker_at(works, index);

        if (worker->pidfd < 0)
                go_on_soon(works);
        else if (sd_event_add_io(works->server->event, &works->slots[index].watch, worker->pidfd,
                                 EPOLLIN, on_ended, works) < 0)
                retry_later(works);
}

/* Which descriptors this server has. */
static uint32_t table_of(const struct hf_works *works)
{
        return works->keeper ? hf_keeper_table(works->keeper) : 0;
}

static void fill_record(struct hf_works *works, struct hf_worker *worker, const struct hf_job *job)
{
        worker->given_up = 0;
        worker->pidfd = -1;
        worker->table = table_of(works);
        worker->since = now_usec();
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
        bool gives = worker->order.kind == HF_WORK_GIVE;
        enum hf_keeper_table table = gives ? HF_KEEPER_TABLE_SHARED : HF_KEEPER_TABLE_OWN;
        pid_t pid = hf_keeper_clone_worker(works->keeper, table, &worker->pidfd);

        if (pid == -EMFILE && gives && works->server->spare_fd >= 0) {
                hf_close_fd(&works->server->spare_fd);
                pid = hf_keeper_clone_worker(works->keeper, table, &worker->pidfd);
        }
        if (pid != 0)
                return pid;
        hf_work_run(worker, works->keeper);
        _exit(EXIT_SUCCESS);
}

/* Makes the worker for a job, in a free record. */
static int launch(struct hf_works *works, int index, struct hf_job *job)
{
        struct hf_worker *worker = worker_at(works, index);
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
static void tell(struct hf_job *job, const struct hf_result *outcome)
{
        hf_work_done done = job->done;
        void *data = job->data;

        job_delete(job);
        if (done)
                done(data, outcome);
}

/* Gives the place's next job to a worker. False: somebody was told, and all may be otherwise now.
 */
static bool start_next(struct hf_works *works, struct hf_place *place)
{
        struct hf_result outcome = {.fd = -1};
        struct hf_job *job = place->first;
        int index = job && place->worker < 0 ? free_worker(works, place) : -1;

        if (index < 0)
                return true;
        if (is_held(works, &job->order, &outcome.error)) {
                outcome.status = -EBUSY;
                dequeue(job);
                tell(job, &outcome);
                return false;
        }
        outcome.status = launch(works, index, job);
        if (outcome.status >= 0) {
                dequeue(job);
                if (!job->done)
                        job_delete(job);
                return true;
        }
        /* A lock is given back for as long as it takes, others are told. */
        if (job->order.kind == HF_WORK_GIVE) {
                retry_later(works);
                return true;
        }
        dequeue(job);
        tell(job, &outcome);
        return false;
}

static void start_all(struct hf_works *works)
{
        for (struct hf_place *next, *place = works->places; place; place = next) {
                next = place->next;
                if (start_next(works, place))
                        hf_place_drop_unused(works, place);
                else
                        next = works->places;
        }
}

/* ---- the end of a worker ---- */

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
                while (i < HF_WORKERS_MAX && (worker_at(works, i)->number != number ||
                                              state_of(worker_at(works, i)) == HF_WORKER_NONE))
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
                tell(job, outcome);
        else if (outcome->fd >= 0)
                hf_work_dispose(works->server, outcome->fd, &outcome->thing,
                                order->autocreate ? order->path : NULL);
}

/* What came of it, with the worker's record free again before anything is done about it. */
static void finish(struct hf_works *works, int index)
{
        struct hf_worker *worker = worker_at(works, index);
        hf_cleanup_fd int pidfd = worker->pidfd;
        struct hf_order order = worker->order;
        struct hf_result outcome = worker->outcome;
        struct hf_job *job = works->slots[index].job;
        bool done = state_of(worker) == HF_WORKER_DONE;
        bool closed = done && worker->table == table_of(works);
        struct hf_place *place = works->places;

        fetch_results(works);
        outcome.fd = works->slots[index].fd;
        if (!done || (order.kind == HF_WORK_TAKE && outcome.status == 0 && outcome.fd < 0)) {
                outcome.status = hf_error_set(&outcome.error, EINTR, HF_ERR_INTERNAL,
                                              HF_FROM_LOCKSPACE,
                                              "the process that did so was ended; try again");
                /* Where it was ended after it had sent something, that is not wanted either. */
                if (outcome.fd >= 0 && hf_resource_of_fd(outcome.fd, &outcome.thing) == 0)
                        hf_work_dispose(works->server, outcome.fd, &outcome.thing, NULL);
                outcome.fd = -1;
        }
        hf_keeper_reap_worker(pidfd);
        works->slots[index].watch = sd_event_source_disable_unref(works->slots[index].watch);
        works->slots[index].job = NULL;
        works->slots[index].fd = -1;
        works->deleting -= order.kind == HF_WORK_DELETE;
        atomic_store_explicit(&worker->state, HF_WORKER_NONE, memory_order_release);
        while (place && place->worker != index)
                place = place->next;
        if (place)
                place->worker = -1;
        if (works->server->spare_fd < 0)
                works->server->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
        if (order.kind == HF_WORK_GIVE)
                given(works, &order, closed);
        if (job || order.kind != HF_WORK_GIVE)
                complete(works, job, &order, &outcome);
        start_all(works);
}

static int on_ended(sd_event_source *source, int fd, uint32_t revents, void *data)
{
        struct hf_works *works = data;

        (void)source;
        (void)revents;
        for (int i = 0; i < HF_WORKERS_MAX; i++)
                if (state_of(worker_at(works, i)) != HF_WORKER_NONE &&
                    worker_at(works, i)->pidfd == fd) {
                        finish(works, i);
                        break;
                }
        return 0;
}

static bool has_ended(const struct hf_worker *worker)
{
        return worker->pidfd < 0 || hf_process_pidfd_is_dead(worker->pidfd) != 0;
}

static void go_on(struct hf_works *works)
{
        for (int i = 0; i < HF_WORKERS_MAX; i++) {
                struct hf_worker *worker = worker_at(works, i);

                if (state_of(worker) == HF_WORKER_NONE || works->slots[i].watch)
                        continue;
                if (has_ended(worker))
                        finish(works, i);
                else
                        watch(works, i);
        }
        hf_release_retry(works->server);
        start_all(works);
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
                dequeue(job);
                hf_place_drop_unused(job->works, place);
        } else {
                worker_at(job->works, job->worker)->given_up = 1;
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
        return (unsigned int)((now_usec() - usec) / 1000000);
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
                const struct hf_worker *worker = worker_at(works, i);
                const struct hf_order *its = &worker->order;

                if (state_of(worker) != HF_WORKER_NONE && !worker->given_up &&
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
        uint64_t since = place->worker < 0 ? now_usec()
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
        struct hf_place_key key = index < 0 ? hf_place_of(works, &job->order)
                                            : worker_at(works, index)->where;

        job->place = hf_place_get(works, key, job->order.path);
        if (!job->place)
                return hf_error_sys(err, ENOMEM, "cannot ask its filesystem");
        if (index >= 0) {
                job->worker = index;
                job->begin = worker_at(works, index)->since;
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
                index = free_worker(works, job->place);
        r = index < 0 ? -EAGAIN : launch(works, index, job);
        if (r >= 0) {
                if (!job->done)
                        job_delete(job);
                return 0;
        }
        if (index >= 0 && kind != HF_WORK_GIVE)
                return hf_error_sys(err, -r, "no process can be made to ask its filesystem");
        enqueue(job);
        if (index >= 0)
                retry_later(works);
        else if (job->place->worker < 0)
                go_on_soon(works);
        return 0;
}

int hf_work_start(struct hf_server *server, const struct hf_session *session,
                  const struct hf_order *order, hf_work_done done, void *data, struct hf_job **ret,
                  struct hf_error *err)
{
        struct hf_works *works = server->works;
        struct hf_job *job = malloc(sizeof(*job));
        int r;

        if (!job)
                return hf_error_sys(err, ENOMEM, "cannot ask its filesystem");
        *job = (struct hf_job){
                .works = works,
                .worker = -1,
                .order = *order,
                .client = session ? session->id : 0,
                .service = session ? (uint32_t)session->kind : 0,
                .done = done,
                .data = data,
                .begin = now_usec(),
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
        if (r >= 0)
                return 0;
        if (ret)
                *ret = NULL;
        job_delete(job);
        go_on_soon(works); /* the record of its place may be of no more use */
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

        if (path && hf_order_set_path(&order, path) < 0)
                path = NULL;
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
        struct hf_works *works = server->works;

        for (int i = 0; i < HF_WORKERS_MAX; i++) {
                const struct hf_worker *worker = worker_at(works, i);

                if (state_of(worker) != HF_WORKER_NONE && worker->order.kind == HF_WORK_GIVE &&
                    worker->order.lock == lock)
                        return true;
        }
        for (const struct hf_place *place = works->places; place; place = place->next)
                for (const struct hf_job *job = place->first; job; job = job->next)
                        if (job->order.kind == HF_WORK_GIVE && job->order.lock == lock)
                                return true;
        return false;
}

bool hf_work_deletes(struct hf_server *server, const struct hf_thing *thing)
{
        struct hf_works *works = server->works;

        for (int i = 0; works->deleting && i < HF_WORKERS_MAX; i++) {
                const struct hf_worker *worker = worker_at(works, i);

                if (state_of(worker) != HF_WORKER_NONE && worker->order.kind == HF_WORK_DELETE &&
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

int hf_work_adopt(struct hf_server *server)
{
        struct hf_works *works = server->works;

        for (int i = 0; i < HF_WORKERS_MAX; i++) {
                struct hf_worker *worker = worker_at(works, i);
                struct hf_place *place;

                if (state_of(worker) == HF_WORKER_NONE)
                        continue;
                place = hf_place_get(works, worker->where, worker->order.path);
                if (!place)
                        return -ENOMEM;
                place->worker = i;
                works->deleting += worker->order.kind == HF_WORK_DELETE;
                watch(works, i);
        }
        return 0;
}

/* How long workers may take at the end, before the daemon ends without them. */
#define END_MS 100

static bool is_first_of_place(struct hf_server *server, uint32_t hold)
{
        const struct hf_lock *lock = hf_table_lock(server->table,
                                                   hf_table_hold(server->table, hold)->lock);

        if (hf_work_closes(server, &lock->file))
                return false;
        for (uint32_t i = 0; (i = hf_table_next_hold(server->table, i)) < hold;) {
                const struct hf_lock *other = hf_table_lock(server->table,
                                                            hf_table_hold(server->table, i)->lock);

                if (other->file.kind == lock->file.kind && other->file.dev == lock->file.dev)
                        return false;
        }
        return true;
}

/* In a worker: closes all locks on the filesystem of a hold's lock. */
static _Noreturn void close_locks(struct hf_server *server, uint32_t hold)
{
        struct hf_thing file =
                hf_table_lock(server->table, hf_table_hold(server->table, hold)->lock)->file;

        for (uint32_t i = 0; (i = hf_table_next_hold(server->table, i));) {
                const struct hf_lock *lock = hf_table_lock(server->table,
                                                           hf_table_hold(server->table, i)->lock);

                if (lock->file.kind == file.kind && lock->file.dev == file.dev)
                        hf_resource_give(lock->fd, NULL);
        }
        _exit(EXIT_SUCCESS);
}

/*
 * The last process that has a file open closes it at its end, and would wait there
 * for a filesystem that hangs. So locks that are not local are closed by workers, one for
 * each filesystem; one that hangs has our descriptors then, and the daemon can end.
 */
static void end_workers(struct hf_works *works)
{
        struct hf_server *server = works->server;
        struct pollfd ends[HF_WORKERS_MAX * 2];
        uint64_t end = now_usec() + END_MS * 1000;
        nfds_t n = 0;

        for (int i = 0; i < HF_WORKERS_MAX; i++) {
                const struct hf_worker *worker = worker_at(works, i);

                if (state_of(worker) == HF_WORKER_NONE)
                        continue;
                (void)pidfd_send_signal(worker->pidfd, SIGKILL, NULL, 0);
                if (worker->order.kind == HF_WORK_GIVE)
                        ends[n++] = (struct pollfd){.fd = worker->pidfd, .events = POLLIN};
        }
        for (uint32_t i = 0;
             n < HF_ARRAY_LEN(ends) && (i = hf_table_next_hold(server->table, i));) {
                ends[n] = (struct pollfd){.fd = -1, .events = POLLIN};
                if (!is_first_of_place(server, i))
                        continue;
                if (hf_keeper_clone_worker(works->keeper, HF_KEEPER_TABLE_SHARED, &ends[n].fd) == 0)
                        close_locks(server, i);
                n++;
        }
        for (nfds_t i = 0; i < n; i++) {
                uint64_t now = now_usec();

                (void)poll(&ends[i], 1, now < end ? (int)((end - now) / 1000) : 0);
        }
}

/* As the end of the daemon does it where nobody else has its descriptors. */
static void unlock_all(struct hf_server *server)
{
        for (uint32_t i = 0; (i = hf_table_next_hold(server->table, i));) {
                const struct hf_lock *lock = hf_table_lock(server->table,
                                                           hf_table_hold(server->table, i)->lock);

                if (hf_work_closes(server, &lock->file))
                        hf_resource_unlock(lock->fd);
        }
}

void hf_work_free(struct hf_server *server)
{
        struct hf_works *works = server->works;

        if (!works)
                return;
        if (works->keeper) {
                end_workers(works);
                unlock_all(server);
        }
        while (works->places) {
                struct hf_place *place = works->places;

                while (place->first) {
                        struct hf_job *job = place->first;

                        dequeue(job);
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

void hf_work_each_fd(const struct hf_worker *workers, uint32_t table,
                     void (*each)(void *data, int fd), void *data)
{
        for (int i = 0; i < HF_WORKERS_MAX; i++) {
                if (state_of(&workers[i]) == HF_WORKER_NONE)
                        continue;
                each(data, workers[i].pidfd);
                if (workers[i].order.kind == HF_WORK_GIVE && workers[i].table == table)
                        each(data, workers[i].order.fd);
        }
}
