/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What the rules say of an acquire goes into the table, or into a refusal. */
#include "daemon/acquire-private.h"

#include "daemon/guard.h"
#include "daemon/holder.h"
#include "storage/behind.h"

#include <errno.h>

static int enter(struct hf_acquire_job *job, uint32_t lock, uint32_t *ret_hold,
                 struct hf_error *err)
{
        struct hf_hold_info info = {
                .lock = lock,
                .owner = job->request.owner,
                .lockspace = job->request.lockspace,
                .name = job->name,
                .via = job->via,
                .since = job->since,
                .set = job->number,
        };
        uint32_t hold;
        int r = hf_table_add_hold(job->server->table, &info, &hold);

        if (r < 0)
                return hf_error_sys(err, -r, "cannot note the lock of %s", job->name);
        *ret_hold = hold;
        /* It claims nothing before the answer stands; that of a member is its set's. */
        if (job->set)
                return 0;
        if (job->session)
                hf_session_intend(job->session, HF_INTENT_CLAIM_HOLD, hold);
        else
                hf_table_claim_hold(job->server->table, hold);
        return 0;
}

/* Of a lock whose thing was not known: it is now, where the request knows it. */
static void note_thing(struct hf_acquire_job *job, uint32_t lock)
{
        const struct hf_thing *thing = hf_rules_thing(&job->request);

        if (thing->kind != HF_THING_NONE &&
            hf_table_lock(job->server->table, lock)->thing.kind == HF_THING_NONE)
                hf_table_set_thing(job->server->table, lock, thing);
}

int hf_acquire_enter_new(struct hf_acquire_job *job, uint32_t *ret_hold, struct hf_error *err)
{
        struct hf_table *table = job->server->table;
        const struct hf_request *request = &job->request;
        const struct hf_thing *thing = hf_rules_thing(request);
        uint32_t flags = (request->shared ? HF_LOCK_SHARED : 0) |
                         (job->autocreate ? HF_LOCK_AUTOCREATE : 0);
        uint32_t lock;
        int r;

        if (thing->kind == HF_THING_NONE && hf_behind_is_hash(job->name))
                flags |= HF_LOCK_SEARCHED;
        r = hf_table_add_lock(table, &request->file, thing, job->result.fd, flags, &lock);
        if (r < 0)
                return hf_error_sys(err, -r, "cannot note the lock of %s", job->name);
        r = enter(job, lock, ret_hold, err);
        if (r < 0) {
                hf_table_remove_lock(table, lock);
                return r;
        }
        job->result.fd = -1;
        hf_guard_taken(job->server, &request->file, job->begun);
        return 0;
}

int hf_refuse(struct hf_server *server, uint32_t hold, const char *name, struct hf_error *err)
{
        char holder[HF_DESCRIPTION_MAX];
        const struct hf_thing *file;

        hf_describe_holder(server->table, hold, server->host, hf_server_wall_clock(server), holder);
        file = &hf_table_lock(server->table, hf_table_hold(server->table, hold)->lock)->file;
        return hf_error_set(err, EBUSY, HF_ERR_RESOURCE_BUSY, HF_FROM_LOCKSPACE,
                            "%s is held by %s%s", name, holder, hf_holder_reach(server, file));
}

void hf_acquire_refuse(const struct hf_acquire_job *job, uint32_t hold, struct hf_acquired *ret)
{
        const struct hf_hold *held = hf_table_hold(job->server->table, hold);
        const struct hf_lock *lock = hf_table_lock(job->server->table, held->lock);
        bool same_mode = job->request.shared == !!(lock->flags & HF_LOCK_SHARED);

        ret->hold = hold;
        ret->status = hf_refuse(job->server, hold, job->name, &ret->error);
        if (lock->flags & HF_LOCK_LOST)
                hf_error_prefix(&ret->error,
                                "that lock was lost, with the lease of its file server, and is "
                                "not taken again while the VM that lost it has not released it or "
                                "ended");
        else if (lock->flags & HF_LOCK_DOUBTED)
                hf_error_prefix(&ret->error, "its file server does not answer, or did not for too "
                                             "long, and the lock may be lost; try again later");
        else if (lock->flags & HF_LOCK_RELEASING)
                hf_error_prefix(&ret->error, "it is just being given back, which its filesystem "
                                             "has not answered yet");
        else if (held->owner == job->request.owner && !held->check)
                hf_error_prefix(&ret->error, "this VM is acquiring it by another request");
        else if (held->owner == job->request.owner)
                hf_error_prefix(&ret->error, "this VM has it already %s",
                                same_mode ? "for another file" : "in another mode");
}

/* What another request of the same owner has prepared may be given back again; a set's own, not. */
static bool is_had(const struct hf_acquire_job *job, uint32_t index)
{
        const struct hf_hold *hold = hf_table_hold(job->server->table, index);

        return hold->check || (job->set && hold->set == job->number);
}

bool hf_acquire_settle(struct hf_acquire_job *job, struct hf_verdict verdict,
                       struct hf_acquired *ret)
{
        switch (verdict.kind) {
        case HF_VERDICT_CONFLICT:
                hf_acquire_refuse(job, verdict.hold, ret);
                return true;
        case HF_VERDICT_HAVE:
                if (!is_had(job, verdict.hold)) {
                        hf_acquire_refuse(job, verdict.hold, ret);
                        return true;
                }
                ret->hold = verdict.hold;
                note_thing(job, verdict.lock);
                ret->had = true;
                ret->mine = verdict.hold;
                ret->status = 0;
                ret->file = hf_table_lock(job->server->table, verdict.lock)->file;
                return true;
        case HF_VERDICT_JOIN:
                ret->status = enter(job, verdict.lock, &ret->hold, &ret->error);
                if (ret->status >= 0)
                        note_thing(job, verdict.lock);
                ret->file = hf_table_lock(job->server->table, verdict.lock)->file;
                return true;
        default:
                return false;
        }
}

int hf_acquire_refuse_foreign(const struct hf_acquire_job *job, const struct hf_user *holder,
                              struct hf_error *err)
{
        const char *reach = hf_holder_reach(job->server, &job->result.file);
        char words[HF_DESCRIPTION_MAX];

        if (holder)
                return hf_error_set(
                        err, EBUSY, HF_ERR_RESOURCE_BUSY, HF_FROM_LOCKSPACE,
                        "%s is held by %s (pid %d, host %s), which does not say for whom",
                        job->name, holder->comm, (int)holder->pid, job->server->host);
        if (job->is_elsewhere) {
                hf_holder_describe(job->server, &job->elsewhere, words);
                return hf_error_set(err, EBUSY, HF_ERR_RESOURCE_BUSY, HF_FROM_LOCKSPACE,
                                    "%s is held by %s, on another host, as its record says%s",
                                    job->name, words, reach);
        }
        if (*reach)
                return hf_error_set(err, EBUSY, HF_ERR_RESOURCE_BUSY, HF_FROM_LOCKSPACE,
                                    "%s is held by an unknown party: on another host (a "
                                    "virtlockd?), or another user's%s",
                                    job->name, reach);
        return hf_error_set(err, EBUSY, HF_ERR_RESOURCE_BUSY, HF_FROM_LOCKSPACE,
                            "%s is held by a process that cannot be seen from here: on another "
                            "host, or another user's",
                            job->name);
}

bool hf_acquire_means_another(const struct hf_request *request, const struct hf_thing *file)
{
        return request->lockspace == HF_LOCKSPACE_DEFAULT && request->thing.kind != HF_THING_NONE &&
               !hf_thing_same(&request->thing, file);
}

int hf_acquire_refuse_another(const struct hf_acquire_job *job, struct hf_error *err)
{
        return hf_error_sys(err, ESTALE,
                            "%s is another file for the lock daemon than for the VM (mounts of its "
                            "own?), or was replaced just now",
                            job->path);
}
