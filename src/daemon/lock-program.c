/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* virtlockd's lock program: eight procedures, all of which answer without a body. */
#include "daemon/acquire.h"
#include "daemon/dispatch.h"
#include "daemon/owner.h"
#include "daemon/release.h"
#include "daemon/work.h"
#include "lockspace/rules.h"

#include "base/cleanup.h"
#include "rpc/lock.h"

#include <errno.h>
#include <string.h>

static int call_register(struct hf_session *session, const void *data, struct hf_error *err)
{
        const struct hf_lock_register_args *args = data;
        int r;

        if (session->client)
                return hf_error_set(err, EINVAL, HF_ERR_OPERATION_INVALID, HF_FROM_RPC,
                                    "this connection stands for itself, as it asked for; a VM is "
                                    "registered on another one");
        /* The same words as for a connection that never registered: so does virtlockd. */
        if (args->owner.id == 0)
                return hf_error_set(err, EINVAL, HF_ERR_OPERATION_INVALID, HF_FROM_RPC,
                                    "no lock owner was registered on this connection: its id is 0");
        (void)snprintf(session->owner_name, sizeof(session->owner_name), "%s", args->owner.name);
        session->owner_id = args->owner.id;
        memcpy(session->owner_uuid, args->owner.uuid, sizeof(session->owner_uuid));
        r = hf_owner_register(session, (pid_t)args->owner.pid, err);
        session->registered = r >= 0;
        return r < 0 ? r : HF_DONE;
}

static int call_restrict(struct hf_session *session, const void *data, struct hf_error *err)
{
        (void)data;
        (void)err;
        hf_session_intend(session, HF_INTENT_RESTRICT, 0);
        return HF_DONE;
}

/*
 * A call that is answered when a worker has done something: these are rare, and
 * nobody waits for them but who asked.
 */
struct step {
        struct hf_session *session;
        struct hf_job *work;
        bool creates;     /* of a resource: else it deletes */
        bool must_be_new; /* of a lockspace */
        uint32_t lockspace;
        char *path;
        char *name;
};

static struct step *step_free(struct step *step)
{
        if (!step)
                return NULL;
        (void)hf_job_free(step->work);
        free(step->path);
        free(step->name);
        free(step);
        return NULL;
}

static void step_freep(struct step **step)
{
        *step = step_free(*step);
}

#define cleanup_step hf_cleanup(step_freep)

/* The client has left, nobody waits. */
static void cancel_step(void *data)
{
        (void)step_free(data);
}

/* Answers, with the error if r is negative. */
static void end_step(struct step *step_arg, int r, const struct hf_error *err)
{
        cleanup_step struct step *step = step_arg;
        struct hf_session *session = step->session;

        session->cancel = NULL;
        session->job = NULL;
        if (r < 0)
                hf_session_answer_error(session, err);
        else
                hf_session_answer(session, NULL, NULL);
        hf_session_resume(session);
}

/* Has a worker do something with the step's path. */
static int have_done(struct step *step, enum hf_work_kind kind, const struct hf_thing *thing,
                     hf_work_done done, struct hf_error *err)
{
        struct hf_order order = {.kind = kind};
        int r = hf_order_set_path(&order, step->path);

        if (r < 0)
                return hf_error_sys(err, -r, "cannot use %s", step->path);
        if (thing)
                order.thing = *thing;
        r = hf_work_start(step->session->server, step->session, &order, done, step, &step->work,
                          err);
        if (r < 0)
                hf_error_prefix(err, "cannot use %s", step->path);
        return r;
}

/* The first of what a step has done; it is the session's then. */
static int begin_step(struct step **step, enum hf_work_kind kind, hf_work_done done,
                      struct hf_error *err)
{
        struct hf_session *session = (*step)->session;
        int r = have_done(*step, kind, NULL, done, err);

        if (r < 0)
                return r;
        session->cancel = cancel_step;
        session->job = hf_steal_ptr(*step);
        return HF_PENDING;
}

static int note_lockspace(const struct step *step, struct hf_error *err)
{
        struct hf_table *table = step->session->server->table;
        uint32_t lockspace;
        int r;

        /* By somebody else, meanwhile. */
        if (hf_table_find_lockspace(table, step->path))
                return !step->must_be_new
                               ? 0
                               : hf_error_set(err, EEXIST, HF_ERR_INTERNAL, HF_FROM_RPC,
                                              "the lockspace %s is there already", step->path);
        r = hf_table_add_lockspace(table, step->path, &lockspace);
        if (r < 0)
                return hf_error_sys(err, -r, "cannot note the lockspace %s", step->path);
        hf_session_intend(step->session, HF_INTENT_CLAIM_LOCKSPACE, lockspace);
        return 0;
}

static void on_lockspace_made(void *data, const struct hf_result *result)
{
        struct hf_error error = result->error;
        struct step *step = data;
        int r = result->status;

        step->work = NULL;
        if (r >= 0)
                r = note_lockspace(step, &error);
        end_step(step, r, &error);
}

/* Announces a directory as a lockspace, making it if it is not there. */
static int add_lockspace(struct hf_session *session, const char *path, bool must_be_new,
                         struct hf_error *err)
{
        cleanup_step struct step *step = calloc(1, sizeof(*step));

        if (step)
                step->path = strdup(path);
        if (!step || !step->path)
                return hf_error_sys(err, ENOMEM, "cannot note the lockspace %s", path);
        step->session = session;
        step->must_be_new = must_be_new;
        return begin_step(&step, HF_WORK_LOCKSPACE, on_lockspace_made, err);
}

static int call_new(struct hf_session *session, const void *data, struct hf_error *err)
{
        const struct hf_lock_new_args *args = data;

        if (!*args->path)
                return hf_error_set(err, EINVAL, HF_ERR_OPERATION_INVALID, HF_FROM_RPC,
                                    "the default lockspace is there already");
        if (hf_table_find_lockspace(session->server->table, args->path))
                return hf_error_set(err, EEXIST, HF_ERR_INTERNAL, HF_FROM_RPC,
                                    "the lockspace %s is there already", args->path);
        return add_lockspace(session, args->path, true, err);
}

static int call_create_lockspace(struct hf_session *session, const void *data, struct hf_error *err)
{
        const struct hf_lock_lockspace_args *args = data;

        if (hf_table_find_lockspace(session->server->table, args->path))
                return HF_DONE;
        return add_lockspace(session, args->path, false, err);
}

/* A hold on the resource, by this name or another one of its file; or 0. */
static uint32_t hold_on(const struct step *step, const struct hf_thing *file)
{
        struct hf_table *table = step->session->server->table;
        uint32_t hold = hf_table_find_name(table, step->lockspace, step->name), lock;

        if (hold || !file)
                return hold;
        lock = hf_table_find_file(table, file, 0);
        if (!lock)
                lock = hf_table_find_thing(table, file, 0);
        return lock ? hf_table_lock(table, lock)->first_hold : 0;
}

static int refuse_held(const struct step *step, const struct hf_thing *file, struct hf_error *err)
{
        uint32_t hold = hold_on(step, file);

        return hold ? hf_refuse(step->session->server, hold, step->name, err) : 0;
}

static void on_resource_done(void *data, const struct hf_result *result)
{
        struct hf_error error = result->error;
        struct step *step = data;
        int r = result->status;

        step->work = NULL;
        if (r < 0 && *error.text)
                hf_error_prefix(&error, "cannot %s %s", step->creates ? "create" : "delete",
                                step->path);
        else if (r < 0)
                (void)hf_error_sys(&error, -r, "cannot %s the resource %s",
                                   step->creates ? "create" : "delete", step->path);
        if (r < 0 && step->creates)
                error.domain = HF_FROM_NONE; /* as virtlockd has it for this one */
        end_step(step, r, &error);
}

/* What is behind the path is known, or nothing is there: if nobody holds it, go on. */
static void on_identified(void *data, const struct hf_result *result)
{
        const struct hf_thing *file = result->status >= 0 ? &result->thing : NULL;
        struct hf_error error = result->error;
        struct step *step = data;
        int r = *error.text ? result->status : 0;

        step->work = NULL;
        if (r < 0)
                hf_error_prefix(&error, "cannot use %s", step->path);
        else
                r = refuse_held(step, file, &error);
        if (r >= 0)
                r = have_done(step, step->creates ? HF_WORK_CREATE : HF_WORK_DELETE, file,
                              on_resource_done, &error);
        if (r < 0)
                end_step(step, r, &error);
}

static int change_resource(struct hf_session *session, const struct hf_lock_resource_args *args,
                           bool creates, struct hf_error *err)
{
        cleanup_step struct step *step = NULL;
        uint32_t lockspace = hf_find_lockspace(session->server, args->path, err);
        int r;

        if (!lockspace)
                return -ENOENT;
        r = hf_check_resource_name(lockspace, args->name, err);
        if (r < 0)
                return r;
        step = calloc(1, sizeof(*step));
        if (step) {
                step->session = session;
                step->creates = creates;
                step->lockspace = lockspace;
                step->name = strdup(args->name);
                step->path = hf_rules_path(args->path, args->name);
        }
        if (!step || !step->name || !step->path)
                return hf_error_sys(err, ENOMEM, "cannot use %s", args->name);
        r = refuse_held(step, NULL, err);
        return r < 0 ? r : begin_step(&step, HF_WORK_IDENTIFY, on_identified, err);
}

static int call_create_resource(struct hf_session *session, const void *data, struct hf_error *err)
{
        return change_resource(session, data, true, err);
}

static int call_delete_resource(struct hf_session *session, const void *data, struct hf_error *err)
{
        return change_resource(session, data, false, err);
}

static void answer_acquire(struct hf_session *session, const struct hf_acquired *acquired)
{
        if (acquired->status < 0)
                hf_session_answer_error(session, &acquired->error);
        else
                hf_session_answer(session, NULL, NULL);
}

static int call_acquire_resource(struct hf_session *session, const void *data, struct hf_error *err)
{
        const struct hf_lock_resource_args *args = data;
        struct hf_acquire acquire = {
                .lockspace = args->path,
                .name = args->name,
                .shared = args->flags & HF_LOCK_ACQUIRE_SHARED,
                .autocreate = args->flags & HF_LOCK_ACQUIRE_AUTOCREATE,
        };

        return hf_acquire(session, &acquire, answer_acquire, err);
}

static int call_release_resource(struct hf_session *session, const void *data, struct hf_error *err)
{
        const struct hf_lock_resource_args *args = data;

        return hf_release(session, args->path, args->name, err);
}

#define ARGS(type)         .decode = (xdrproc_t)xdr_##type, .args_size = sizeof(struct type)
#define FLAGS(type, known) .flags_at = offsetof(struct type, flags), .flags = (known)
#define RESOURCE(known)    ARGS(hf_lock_resource_args), FLAGS(hf_lock_resource_args, known)
#define OWNED              .guards = HF_GUARD_UNRESTRICTED | HF_GUARD_REGISTERED

static const struct hf_procedure procedures[] = {
        {HF_LOCK_REGISTER, "register", ARGS(hf_lock_register_args), FLAGS(hf_lock_register_args, 0),
         .guards = HF_GUARD_UNRESTRICTED, .call = call_register},
        {HF_LOCK_RESTRICT, "restrict", ARGS(hf_lock_restrict_args), FLAGS(hf_lock_restrict_args, 0),
         OWNED, .call = call_restrict},
        {HF_LOCK_NEW, "new", ARGS(hf_lock_new_args), FLAGS(hf_lock_new_args, 0), OWNED,
         .call = call_new},
        {HF_LOCK_CREATE_RESOURCE, "create-resource", RESOURCE(0), OWNED,
         .call = call_create_resource},
        {HF_LOCK_DELETE_RESOURCE, "delete-resource", RESOURCE(0), OWNED,
         .call = call_delete_resource},
        {HF_LOCK_ACQUIRE_RESOURCE, "acquire-resource",
         RESOURCE(HF_LOCK_ACQUIRE_SHARED | HF_LOCK_ACQUIRE_AUTOCREATE), OWNED,
         .call = call_acquire_resource},
        {HF_LOCK_RELEASE_RESOURCE, "release-resource", RESOURCE(0), OWNED,
         .call = call_release_resource},
        {HF_LOCK_CREATE_LOCKSPACE, "create-lockspace", ARGS(hf_lock_lockspace_args), .flags_at = -1,
         .guards = HF_GUARD_UNRESTRICTED, .call = call_create_lockspace},
};

const struct hf_program hf_lock_program = {
        .number = HF_LOCK_PROGRAM,
        .version = HF_LOCK_VERSION,
        .kind = HF_SERVICE_LOCKS,
        .domain = HF_FROM_RPC,
        .procedures = procedures,
        .n = HF_ARRAY_LEN(procedures),
};
