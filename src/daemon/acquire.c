/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/acquire-private.h"

#include "base/cleanup.h"
#include "daemon/acquire-set.h"
#include "daemon/dispatch.h"
#include "daemon/event.h"
#include "daemon/holder.h"
#include "daemon/learn.h"
#include "daemon/owner.h"
#include "daemon/posix.h"
#include "daemon/search.h"
#include "storage/behind.h"

#include <errno.h>
#include <string.h>

/* Gives back what the step has opened. */
static void let_go(struct hf_acquire_job *job)
{
        if (job->result.fd >= 0)
                hf_work_dispose(job->server, job->result.fd, &job->result.file,
                                job->autocreate ? job->path : NULL);
        job->result.fd = -1;
}

struct hf_acquire_job *hf_acquire_job_free(struct hf_acquire_job *job)
{
        if (!job)
                return NULL;
        (void)hf_search_free(job->search);
        (void)hf_job_free(job->work);
        let_go(job);
        free(job->path);
        free(job->name);
        free(job->image);
        free(job);
        return NULL;
}

uint32_t hf_find_lockspace(struct hf_server *server, const char *path, struct hf_error *err)
{
        uint32_t lockspace = hf_table_find_lockspace(server->table, path);

        if (!lockspace)
                (void)hf_error_set(err, ENOENT, HF_ERR_INTERNAL, HF_FROM_RPC,
                                   "no lockspace was announced for the path %s", path);
        return lockspace;
}

int hf_check_resource_name(uint32_t lockspace, const char *name, struct hf_error *err)
{
        if (lockspace == HF_LOCKSPACE_DEFAULT || hf_rules_check_name(name) == 0)
                return 0;
        return hf_error_set(err, EINVAL, HF_ERR_INVALID_ARG, HF_FROM_LOCKSPACE,
                            "the resource name \"%s\" would leave the lockspace's directory: it "
                            "must be a plain file name",
                            name);
}

static void cancel_job(void *data);

/* Lets the session wait for a completion; that of a member waits for its set. */
static int wait_for(struct hf_acquire_job *job)
{
        if (job->set)
                return HF_PENDING;
        job->session->cancel = cancel_job;
        job->session->job = job;
        return HF_PENDING;
}

/* The answer was ready before. */
static void go_on_tidied(struct hf_acquire_job *job_arg)
{
        hf_cleanup_acquire_job struct hf_acquire_job *job = job_arg;
        struct hf_session *session = job->session;

        session->cancel = NULL;
        session->job = NULL;
        session->state = HF_SESSION_SENDING;
        hf_session_resume(session);
}

static void on_tidied(void *data, const struct hf_result *result)
{
        struct hf_acquire_job *job = data;

        (void)result;
        job->work = NULL;
        if (job->set)
                hf_set_member_tidied(job->set);
        else
                go_on_tidied(job);
}

bool hf_acquire_tidy(struct hf_acquire_job *job)
{
        struct hf_order order;

        if (job->result.fd < 0 ||
            (!job->autocreate && hf_work_closes(job->server, &job->result.file)))
                return false;
        order = (struct hf_order){
                .kind = HF_WORK_GIVE, .fd = job->result.fd, .thing = job->result.file};
        hf_holder_clear(job->server, hf_acquire_is_stand_in(job), &order);
        if (job->autocreate)
                (void)hf_order_set_path(&order, job->path);
        if (hf_work_start(job->server, job->session, &order, on_tidied, job, &job->work, NULL) < 0)
                return false;
        job->result.fd = -1;
        (void)wait_for(job);
        if (!job->set)
                job->session->state = HF_SESSION_SETTLING;
        return true;
}

static void tell_refused(const struct hf_acquire_job *job, const struct hf_acquired *acquired)
{
        const struct hf_request *request = &job->request;
        const struct hf_event_want want = {
                .session = job->session,
                .lockspace = hf_table_lockspace_path(job->server->table, request->lockspace),
                .name = job->name,
                .shared = request->shared,
        };

        hf_event_of_want(job->server, HF_HOLDFAST_EVENT_REFUSED, &want, acquired->error.text);
}

static void finish(struct hf_acquire_job *job_arg, const struct hf_acquired *acquired, bool resume)
{
        hf_cleanup_acquire_job struct hf_acquire_job *job = job_arg;
        struct hf_session *session = job->session;

        if (job->set) {
                hf_set_member_ended(hf_steal_ptr(job)->set, acquired);
                return;
        }
        session->cancel = NULL;
        session->job = NULL;
        job->done(session, acquired);
        if (acquired->status == -EBUSY)
                tell_refused(job, acquired);
        if (hf_acquire_tidy(job))
                (void)hf_steal_ptr(job);
        if (resume)
                hf_session_resume(session);
}

static void go_on(struct hf_acquire_job *job);

/*
 * A lock that nobody is seen to have may be our own: what a server that was killed
 * had begun is on its way back. Then there is another try.
 */
#define UNSEEN_TRIES 3

static void on_found(void *data, const struct hf_user *holder)
{
        struct hf_acquired acquired = {0};
        struct hf_acquire_job *job = data;

        if (!holder && !job->is_elsewhere && ++job->unseen < UNSEEN_TRIES) {
                job->search = hf_search_free(job->search);
                let_go(job);
                go_on(job);
                return;
        }
        if (!holder && job->is_elsewhere)
                acquired.elsewhere = &job->elsewhere;
        acquired.foreign = true;
        acquired.status = hf_acquire_refuse_foreign(job, holder, &acquired.error);
        finish(job, &acquired, true);
}

/* The client has left, nobody waits. */
static void cancel_job(void *data)
{
        (void)hf_acquire_job_free(data);
}

/* Starts to look for who holds it. On failure the refusal stays without a name. */
static int search_foreign(struct hf_acquire_job *job)
{
        int r = hf_search_new(job->server, &job->result.file, on_found, job, &job->search);

        if (r < 0)
                return r;
        (void)wait_for(job);
        return 0;
}

int hf_acquire_judge(struct hf_acquire_job *job, struct hf_acquired *ret)
{
        int status = job->result.status;

        if (status < 0 && status != -EAGAIN) {
                ret->status = hf_error_sys(&ret->error, -status, "cannot lock the resource %s",
                                           job->path);
                return HF_ANSWERED;
        }
        job->request.file = job->result.file;
        if (hf_acquire_means_another(&job->request, &job->request.file)) {
                ret->status = hf_acquire_refuse_another(job, &ret->error);
                return HF_ANSWERED;
        }
        if (hf_acquire_settle(job, hf_rules_by_thing(job->server->table, &job->request), ret))
                return HF_ANSWERED;
        if (status == 0) {
                ret->file = job->result.file;
                ret->status = hf_acquire_enter_new(job, &ret->hold, &ret->error);
                return HF_ANSWERED;
        }
        if (job->session && search_foreign(job) == 0)
                return HF_PENDING;
        ret->foreign = true;
        ret->status = hf_error_set(&ret->error, EBUSY, HF_ERR_RESOURCE_BUSY, HF_FROM_LOCKSPACE,
                                   "%s is held by another process", job->name);
        return HF_ANSWERED;
}

/* The file is there, or not. */
static int complete(struct hf_acquire_job *job, struct hf_acquired *ret)
{
        if (job->result.status >= 0 && hf_work_deletes(job->server, &job->result.file)) {
                ret->status = hf_error_set(&ret->error, EBUSY, HF_ERR_RESOURCE_BUSY,
                                           HF_FROM_LOCKSPACE, "%s is just being deleted",
                                           job->name);
                return HF_ANSWERED;
        }
        return hf_acquire_judge(job, ret);
}

/* The step that a worker did has failed for another reason than what the filesystem said. */
static bool has_failed(const struct hf_acquire_job *job, const struct hf_result *result,
                       struct hf_acquired *ret)
{
        if (!*result->error.text)
                return false;
        ret->error = result->error;
        hf_error_prefix(&ret->error, "cannot lock the resource %s", job->path);
        ret->status = result->status;
        return true;
}

/*
 * Others were served meanwhile: the owner may have gone, and the name may have
 * been taken.
 */
static bool settle_again(struct hf_acquire_job *job, struct hf_acquired *ret)
{
        ret->status = hf_owner_bind(job->session, &ret->error);
        if (ret->status < 0)
                return true;
        return hf_acquire_settle(job, hf_rules_by_name(job->server->table, &job->request), ret);
}

static int next_step(struct hf_acquire_job *job, struct hf_acquired *ret);

/* Goes on behind a step, and answers if it was the last one. */
static void go_on(struct hf_acquire_job *job)
{
        struct hf_acquired acquired = {0};

        if (settle_again(job, &acquired) || next_step(job, &acquired) == HF_ANSWERED)
                finish(job, &acquired, true);
}

static void on_taken(void *data, const struct hf_result *result)
{
        struct hf_acquired acquired = {0};
        struct hf_acquire_job *job = data;

        job->work = NULL;
        job->result = (struct hf_resource_result){
                .status = result->status, .fd = result->fd, .file = result->thing};
        hf_holder_report(job, result->record_status);
        job->is_elsewhere = false;
        if (result->has_holder)
                hf_holder_note(job, &result->holder);
        job->begun = result->begun;
        if (has_failed(job, result, &acquired) || settle_again(job, &acquired) ||
            complete(job, &acquired) == HF_ANSWERED)
                finish(job, &acquired, true);
}

/* A worker has looked for what is behind a name: what it found is noted. */
static void on_looked(struct hf_acquire_job *job, const struct hf_result *result,
                      void (*note)(struct hf_acquire_job *job, const struct hf_thing *thing))
{
        struct hf_acquired acquired = {0};

        job->work = NULL;
        if (has_failed(job, result, &acquired)) {
                finish(job, &acquired, true);
                return;
        }
        if (result->status == 0)
                note(job, &result->thing);
        go_on(job);
}

static void note_asked(struct hf_acquire_job *job, const struct hf_thing *thing)
{
        job->request.thing = *thing;
}

static void note_learned(struct hf_acquire_job *job, const struct hf_thing *thing)
{
        hf_learn_found(job->server, job->learned, job->hash, thing);
}

/* What is behind the name that is asked for. */
static void on_found_thing(void *data, const struct hf_result *result)
{
        on_looked(data, result, note_asked);
}

/* What is behind the name of a lock that stands, perhaps for the same thing. */
static void on_learned(void *data, const struct hf_result *result)
{
        on_looked(data, result, note_learned);
}

/* Leaves a step to a worker. */
static int have_done(struct hf_acquire_job *job, const struct hf_order *order, hf_work_done done,
                     struct hf_acquired *ret)
{
        ret->status = hf_work_start(job->server, job->session, order, done, job, &job->work,
                                    &ret->error);
        if (ret->status >= 0)
                return wait_for(job);
        hf_error_prefix(&ret->error, "cannot lock the resource %s", job->path);
        return HF_ANSWERED;
}

bool hf_acquire_is_behind_hash(const struct hf_acquire_job *job)
{
        return job->request.lockspace != HF_LOCKSPACE_DEFAULT &&
               job->request.thing.kind == HF_THING_NONE && hf_behind_is_hash(job->name);
}

/* By a worker, if what the kernel has in memory does not tell. */
static int find_thing_of_hash(struct hf_acquire_job *job, struct hf_acquired *ret)
{
        struct hf_order order = {.kind = HF_WORK_FIND};

        order.pid = hf_table_owner(job->server->table, job->request.owner)->pid;
        if (hf_behind_find_cached(order.pid, job->name, &job->request.thing, order.path) != -EAGAIN)
                return HF_DONE;
        (void)snprintf(order.hash, sizeof(order.hash), "%s", job->name);
        return have_done(job, &order, on_found_thing, ret);
}

/* Finds the thing behind a hashed name. HF_DONE: it is known, or cannot be. */
static int find_thing(struct hf_acquire_job *job, struct hf_acquired *ret)
{
        if (job->found || !hf_acquire_is_behind_hash(job))
                return HF_DONE;
        job->found = true;
        return find_thing_of_hash(job, ret);
}

static int learn_by_worker(struct hf_acquire_job *job, struct hf_acquired *ret)
{
        struct hf_order order;

        hf_learn_order(job->server, job->learned, &order);
        memcpy(job->hash, order.hash, sizeof(job->hash));
        return have_done(job, &order, on_learned, ret);
}

/* Learns what locks protect that stand for a thing which may be the same. */
static int learn_things(struct hf_acquire_job *job, struct hf_acquired *ret)
{
        const struct hf_thing *thing = &job->request.thing;

        job->learned = hf_learn_things(job->server, thing->kind == HF_THING_FILE ? thing->dev : 0);
        return job->learned ? learn_by_worker(job, ret) : HF_DONE;
}

static int take_by_worker(struct hf_acquire_job *job, struct hf_acquired *ret)
{
        struct hf_order order = {
                .kind = HF_WORK_TAKE, .shared = job->request.shared, .autocreate = job->autocreate};

        hf_holder_fill(job, &order);
        ret->status = hf_order_set_path(&order, job->path);
        if (ret->status >= 0)
                return have_done(job, &order, on_taken, ret);
        ret->status = hf_error_sys(&ret->error, ENAMETOOLONG, "cannot lock the resource %s",
                                   job->path);
        return HF_ANSWERED;
}

/* Opens and locks the file: here, where that cannot block. */
static int take(struct hf_acquire_job *job, struct hf_acquired *ret)
{
        struct hf_resource_request resource = {
                .path = job->path,
                .shared = job->request.shared,
                .autocreate = job->autocreate,
        };

        if (job->has_lock) {
                job->has_lock = false;
                return complete(job, ret);
        }
        if (!hf_work_is_under_way(job->server, job->session) &&
            hf_work_is_local(job->server, job->path, job->autocreate) &&
            hf_take_cached(job->server, &resource, &job->result))
                return complete(job, ret);
        return take_by_worker(job, ret);
}

/* HF_ANSWERED with *ret filled in, or HF_PENDING. */
static int next_step(struct hf_acquire_job *job, struct hf_acquired *ret)
{
        int outcome = find_thing(job, ret);

        if (outcome == HF_DONE)
                outcome = learn_things(job, ret);
        return outcome == HF_DONE ? take(job, ret) : outcome;
}

int hf_acquire_job_new(struct hf_server *server, uint32_t owner, const struct hf_acquire *acquire,
                       uint32_t lockspace, struct hf_acquire_job **ret)
{
        hf_cleanup_acquire_job struct hf_acquire_job *job = calloc(1, sizeof(*job));

        if (!job)
                return -ENOMEM;
        job->result.fd = -1;
        job->server = server;
        job->autocreate = acquire->autocreate;
        job->name = strdup(acquire->name);
        job->path = hf_rules_path(hf_table_lockspace_path(server->table, lockspace), acquire->name);
        job->image = acquire->image && *acquire->image ? strdup(acquire->image) : NULL;
        if (!job->name || !job->path || (acquire->image && *acquire->image && !job->image))
                return -ENOMEM;
        job->request = (struct hf_request){
                .owner = owner,
                .lockspace = lockspace,
                .name = job->name,
                .shared = acquire->shared,
                .thing = acquire->thing,
        };
        *ret = hf_steal_ptr(job);
        return 0;
}

int hf_acquire_begin(struct hf_acquire_job *job, struct hf_acquired *ret)
{
        if (hf_acquire_settle(job, hf_rules_by_name(job->server->table, &job->request), ret))
                return HF_ANSWERED;
        return next_step(job, ret);
}

int hf_acquire(struct hf_session *session, const struct hf_acquire *acquire,
               void (*done)(struct hf_session *session, const struct hf_acquired *acquired),
               struct hf_error *err)
{
        struct hf_server *server = session->server;
        struct hf_acquired acquired = {0};
        struct hf_acquire_job *job;
        uint32_t lockspace;
        int outcome, r;

        lockspace = hf_find_lockspace(server, acquire->lockspace, err);
        if (!lockspace)
                return -ENOENT;
        r = hf_check_resource_name(lockspace, acquire->name, err);
        if (r < 0)
                return r;
        r = hf_owner_bind(session, err);
        if (r < 0)
                return r;
        r = hf_acquire_job_new(server, session->owner, acquire, lockspace, &job);
        if (r < 0)
                return hf_error_sys(err, -r, "cannot lock %s", acquire->name);
        job->session = session;
        job->done = done;
        job->via = session->via;
        job->since = hf_server_wall_clock(server);
        outcome = hf_acquire_begin(job, &acquired);
        if (outcome == HF_ANSWERED)
                finish(job, &acquired, false);
        return outcome;
}
