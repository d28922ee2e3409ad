/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Sending the lock daemon away, for a virtlockd in its place. */
#include "client/query.h"

#include "base/cleanup.h"

HF_PUBLIC int holdfast_daemon_leave(const char *program, unsigned int flags,
                                    struct holdfast_error *err)
{
        hf_cleanup_query struct hf_query query = HF_QUERY_INIT;
        struct hf_holdfast_leave_args args = {
                .path = (char *)(uintptr_t)program,
                .dry_run = flags & HOLDFAST_LEAVE_DRY_RUN,
        };
        int r;

        if (flags & ~HOLDFAST_LEAVE_DRY_RUN || !program || program[0] != '/')
                return hf_fail(err, EINVAL, HOLDFAST_E_INVALID,
                               "the path of a program and known flags are needed");
        r = hf_query_open(&query, err);
        if (r < 0)
                return r;
        return hf_query_call(&query, HF_HOLDFAST_LEAVE, (xdrproc_t)xdr_hf_holdfast_leave_args,
                             &args, NULL, NULL, err);
}
