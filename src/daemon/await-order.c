/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a helper is told that waits for a member of a set. */
#include "daemon/acquire-private.h"
#include "daemon/await.h"
#include "daemon/holder.h"
#include "daemon/set-private.h"

/*
 * The set for which it waits is the one that has the lock then, so it also writes down for other
 * hosts who that is.
 */
int hf_await_order(const struct hf_set *set, size_t member, struct hf_order *ret)
{
        hf_cleanup_acquire_job struct hf_acquire_job *job = NULL;
        int r = hf_set_member_job(set, member, &job);

        if (r < 0)
                return r;
        *ret = (struct hf_order){.kind = HF_WORK_AWAIT,
                                 .shared = job->request.shared,
                                 .autocreate = job->autocreate};
        hf_holder_fill(job, ret);
        return hf_order_set_path(ret, job->path);
}
