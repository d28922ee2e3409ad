/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a helper is told that waits for a member of a set. */
#include "daemon/acquire-private.h"
#include "daemon/await.h"
#include "daemon/holder.h"
#include "daemon/set-private.h"

#include <errno.h>

/*
 * The set for which it waits is the one that has the lock then, so it also writes down for other
 * hosts who that is.
 */
int hf_await_order(const struct hf_set *set, size_t member, struct hf_order *ret)
{
        const struct hf_holdfast_acquire_args *want = &set->args.wants.wants_val[member];
        hf_cleanup_acquire_job struct hf_acquire_job *job = NULL;
        const struct hf_acquire acquire = {
                .lockspace = want->path,
                .name = want->name,
                .image = want->image,
                .shared = want->flags & HF_LOCK_ACQUIRE_SHARED,
                .autocreate = want->flags & HF_LOCK_ACQUIRE_AUTOCREATE,
        };
        uint32_t lockspace = hf_table_find_lockspace(set->server->table, want->path);
        int r;

        if (!lockspace)
                return -ENOENT;
        r = hf_acquire_job_new(set->server, set->session->owner, &acquire, lockspace, &job);
        if (r < 0)
                return r;
        job->via = set->session->via;
        *ret = (struct hf_order){
                .kind = HF_WORK_AWAIT, .shared = acquire.shared, .autocreate = acquire.autocreate};
        hf_holder_fill(job, ret);
        return hf_order_set_path(ret, job->path);
}
