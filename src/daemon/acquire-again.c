/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Acquiring what an earlier daemon held, before anybody is served. */
#include "daemon/acquire-private.h"

#include "base/cleanup.h"
#include "daemon/area.h"
#include "daemon/guard.h"
#include "daemon/holder.h"
#include "daemon/kept.h"
#include "daemon/posix.h"
#include "daemon/search.h"
#include "storage/behind.h"

#include <errno.h>

/* All of it at once, however long it takes: before anybody is served. */
static void take_waiting(struct hf_acquire_job *job)
{
        struct hf_resource_request resource = {
                .path = job->path,
                .shared = job->request.shared,
                .autocreate = job->autocreate,
        };
        enum hf_record_verdict verdict;
        struct hf_record record;

        if (hf_acquire_is_behind_hash(job))
                (void)hf_behind_find(hf_table_owner(job->server->table, job->request.owner)->pid,
                                     job->name, &job->request.thing);
        job->begun = hf_work_boottime();
        /* Its files are not to be opened here. */
        if (hf_posix_keeps_path(job->server, job->path, &job->result))
                return;
        hf_resource_take(&resource, &job->result);
        if (job->result.status == -EAGAIN && hf_record_look(job->path, &record, &verdict) == 0 &&
            verdict == HF_RECORD_HELD)
                hf_holder_note(job, &record);
}

/* The step for a claim: its own descriptor, where it was kept, or another one. */
static void take_again(struct hf_acquire_job *job, const struct hf_claim *claim,
                       struct hf_kept *kept, struct hf_acquired *ret)
{
        struct hf_table *table = job->server->table;
        bool was_kept = hf_kept_take(kept, job->request.owner, claim, &job->result);
        bool lost = was_kept && job->result.status == -EIO;
        int fd = was_kept ? job->result.fd : -1;
        uint32_t lock;

        if (lost)
                job->result.status = 0;
        else if (!was_kept && !claim->unsafe)
                take_waiting(job);
        if (!was_kept && claim->unsafe)
                ret->status = hf_error_set(&ret->error, EIO, HF_ERR_RESOURCE_BUSY,
                                           HF_FROM_LOCKSPACE,
                                           "it was lost with the lease of its file server");
        else
                (void)hf_acquire_judge(job, ret);
        if (fd >= 0 && job->result.fd == fd)
                hf_kept_untake(kept, hf_steal_fd(&job->result.fd));
        if (ret->status < 0)
                return;
        lock = hf_table_find_file(table, &job->request.file, 0);
        hf_kept_entered(kept, claim, lock);
        if (lost)
                hf_guard_recover_lost(job->server, lock);
        else if (hf_table_lock(table, lock)->holds == 1)
                hf_holder_write(job, hf_table_lock(table, lock)->fd);
}

int hf_acquire_again(struct hf_server *server, uint32_t owner, const struct hf_claim *claim,
                     struct hf_kept *kept, const struct hf_user_scan *scan, struct hf_error *err)
{
        hf_cleanup_acquire_job struct hf_acquire_job *job = NULL;
        uint32_t lockspace = hf_table_find_lockspace(server->table, claim->lockspace);
        struct hf_acquire acquire = {.name = claim->name,
                                     .shared = claim->shared,
                                     .autocreate = claim->autocreate,
                                     .thing = claim->thing};
        struct hf_acquired acquired = {0};
        int r = lockspace ? 0 : hf_table_add_lockspace(server->table, claim->lockspace, &lockspace);

        /* The VM has the file open that was locked, whatever its name leads to now. */
        if (lockspace == HF_LOCKSPACE_DEFAULT)
                acquire.thing = claim->file;
        if (r >= 0) {
                hf_table_claim_lockspace(server->table, lockspace);
                r = hf_acquire_job_new(server, owner, &acquire, lockspace, &job);
        }
        if (r < 0)
                return hf_error_sys(err, -r, "cannot lock %s", claim->name);
        job->via = claim->via;
        job->since = claim->since;
        job->number = claim->set;
        if (server->area->next_ticket < claim->set)
                server->area->next_ticket = claim->set;
        if (!hf_acquire_settle(job, hf_rules_by_name(server->table, &job->request), &acquired))
                take_again(job, claim, kept, &acquired);
        if (acquired.status == -EBUSY && !acquired.hold && scan)
                (void)hf_acquire_refuse_foreign(job, hf_search_holder(scan, &job->result.file),
                                                &acquired.error);
        if (acquired.status < 0 && err)
                *err = acquired.error;
        return acquired.status;
}
