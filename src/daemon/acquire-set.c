/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/set-private.h"

#include "base/cleanup.h"
#include "daemon/dispatch.h"
#include "daemon/event.h"
#include "daemon/owner.h"
#include "daemon/release.h"
#include "daemon/wait.h"

#include <errno.h>
#include <string.h>

int hf_set_member_job(const struct hf_set *set, size_t member, struct hf_acquire_job **ret)
{
        const struct hf_holdfast_acquire_args *want = hf_set_want(set, member);
        const struct hf_acquire acquire = {
                .lockspace = want->path,
                .name = want->name,
                .image = want->image,
                .shared = want->flags & HF_LOCK_ACQUIRE_SHARED,
                .autocreate = want->flags & HF_LOCK_ACQUIRE_AUTOCREATE,
                .thing = hf_set_thing_of(want),
        };
        uint32_t lockspace = hf_table_find_lockspace(set->server->table, want->path);
        int r = lockspace ? hf_acquire_job_new(set->server, set->session->owner, &acquire,
                                               lockspace, ret)
                          : -ENOENT;

        if (r >= 0)
                (*ret)->via = set->session->via;
        return r;
}

/* ---- the end ---- */

/* Of a part that this try has entered, as long as nobody else has given it back. */
bool hf_set_has(const struct hf_set *set, const struct hf_set_part *part)
{
        const struct hf_hold *hold = hf_table_hold(set->server->table, part->hold);

        if (!part->hold)
                return false;
        return part->check ? hold->check == part->check
                           : hold->set == set->number && hold->lock && !hold->check;
}

static bool has_something(const struct hf_set *set)
{
        for (size_t i = 0; i < set->at; i++)
                if (!set->parts[i].check && hf_set_has(set, &set->parts[i]))
                        return true;
        return set->member != NULL;
}

void hf_set_give_awaited(struct hf_set *set)
{
        struct hf_resource_result *got = &set->got;
        const struct hf_holdfast_acquire_args *want = hf_set_want(set, set->got_for);

        if (got->fd >= 0) {
                bool made = want->flags & HF_LOCK_ACQUIRE_AUTOCREATE;
                hf_cleanup_free char *path = made ? hf_rules_path(want->path, want->name) : NULL;

                hf_work_dispose(set->server, got->fd, &got->file, path);
        }
        got->fd = -1;
}

static void give_parts(struct hf_set *set)
{
        for (size_t i = 0; i < set->at; i++)
                if (!set->parts[i].check && hf_set_has(set, &set->parts[i]))
                        (void)hf_give(set->server, set->parts[i].hold);
        hf_set_give_awaited(set);
}

void hf_set_free(struct hf_set *set)
{
        if (!set)
                return;
        hf_waits_leave(set);
        set->member = hf_acquire_job_free(set->member);
        give_parts(set);
        hf_rpc_free((xdrproc_t)xdr_hf_holdfast_acquire_set_args, &set->args);
        free(set->order);
        free(set->parts);
        free(set);
}

static void set_freep(struct hf_set **set)
{
        hf_set_free(*set);
}

#define cleanup_set hf_cleanup(set_freep)

/* The client has left, nobody waits. */
static void cancel(void *data)
{
        struct hf_set *set = data;

        if (set->waits)
                hf_event_waited(set->server, hf_work_boottime() - set->begun, true);
        hf_set_free(set);
}

void hf_set_end(struct hf_set *set)
{
        struct hf_session *session = set->session;

        set->outcome.waited = set->waits || set->resumed ? hf_work_boottime() - set->begun : 0;
        if (set->outcome.status == -EBUSY)
                hf_set_describe(set);
        hf_waits_leave(set);
        session->cancel = NULL;
        session->told = NULL;
        session->job = NULL;
        set->done(session, &set->outcome);
        hf_set_note_end(set);
        /* What was granted is the owner's now. */
        set->at = 0;
        set->answered = true;
        if (set->in_call)
                return;
        hf_session_resume_later(session);
        hf_set_free(set);
}

/* ---- giving back ---- */

void hf_set_given(struct hf_set *set)
{
        if (has_something(set)) {
                hf_waits_give(set);
                return;
        }
        set->at = 0;
        if (set->ends)
                hf_set_end(set);
        else if (set->again)
                hf_set_try(set);
        else
                hf_waits_begin(set);
}

void hf_set_give_back(struct hf_set *set)
{
        set->state = HF_SET_GIVING;
        if (set->member && !hf_acquire_tidy(set->member))
                set->member = hf_acquire_job_free(set->member);
        give_parts(set);
        hf_set_given(set);
}

void hf_set_member_tidied(struct hf_set *set)
{
        struct hf_server *server = set->server;

        set->member = hf_acquire_job_free(set->member);
        hf_set_given(set);
        hf_waits_serve(server);
}

/* ---- the begin ---- */

static int check_want(struct hf_session *session, unsigned int class,
                      const struct hf_holdfast_acquire_args *want, struct hf_error *err)
{
        unsigned int known = class == HF_HOLDFAST_METADATA
                                     ? 0
                                     : HF_LOCK_ACQUIRE_SHARED | HF_LOCK_ACQUIRE_AUTOCREATE;
        uint32_t lockspace;

        if (want->flags & ~known)
                return hf_error_set(err, EINVAL, HF_ERR_INVALID_ARG, HF_FROM_RPC,
                                    "unsupported flags (0x%x) for %s in acquire-set",
                                    want->flags & ~known, want->name);
        if (class == HF_HOLDFAST_METADATA && want->thing.kind == HF_THING_NONE)
                return hf_error_set(err, EINVAL, HF_ERR_INVALID_ARG, HF_FROM_RPC,
                                    "it is not said which file's metadata is to be locked (%s)",
                                    *want->name ? want->name : "without a name");
        if (class == HF_HOLDFAST_METADATA)
                return 0;
        lockspace = hf_find_lockspace(session->server, want->path, err);
        if (!lockspace)
                return -ENOENT;
        return hf_check_resource_name(lockspace, want->name, err);
}

static int check(struct hf_session *session, const struct hf_holdfast_acquire_set_args *args,
                 struct hf_error *err)
{
        if (args->class > HF_HOLDFAST_METADATA || args->wants.wants_len == 0)
                return hf_error_set(err, EINVAL, HF_ERR_INVALID_ARG, HF_FROM_RPC,
                                    args->wants.wants_len ? "there is no class %u of locks"
                                                          : "a set of nothing cannot be acquired",
                                    args->class);
        for (unsigned int i = 0; i < args->wants.wants_len; i++) {
                int r = check_want(session, args->class, &args->wants.wants_val[i], err);

                if (r < 0)
                        return r;
        }
        return hf_owner_bind(session, err);
}

/* The arguments are the set's on success. */
static int new_set(struct hf_session *session, const struct hf_holdfast_acquire_set_args *args,
                   struct hf_set **ret)
{
        struct hf_set *set = calloc(1, sizeof(*set));
        size_t n = args->wants.wants_len;
        int r = -ENOMEM;

        if (!set)
                return r;
        set->server = session->server;
        set->session = session;
        set->got.fd = -1;
        set->args = *args;
        set->order = calloc(n, sizeof(*set->order));
        set->parts = calloc(n, sizeof(*set->parts));
        if (set->order && set->parts) {
                hf_set_put_in_order(set);
                r = hf_waits_enter(set);
        }
        if (r >= 0) {
                *ret = set;
                return 0;
        }
        memset(&set->args, 0, sizeof(set->args));
        hf_set_free(set);
        return r;
}

/* Others asked before. */
static void stand_in_line(struct hf_set *set)
{
        (void)hf_set_look(set);
        if (hf_set_may_not_wait(set))
                hf_set_end(set);
        else
                hf_waits_begin(set);
}

int hf_acquire_set(struct hf_session *session, const struct hf_holdfast_acquire_set_args *args,
                   hf_set_done done, struct hf_error *err)
{
        cleanup_set struct hf_set *set = NULL;
        int r = check(session, args, err);

        if (r < 0)
                return r;
        r = new_set(session, args, &set);
        if (r < 0)
                return hf_error_sys(err, -r, "cannot acquire a set of %u resources",
                                    args->wants.wants_len);
        set->done = done;
        session->cancel = cancel;
        session->job = set;
        set->in_call = true;
        if (hf_set_look_at_line(set))
                stand_in_line(set);
        else
                hf_set_try(set);
        if (set->answered)
                return HF_ANSWERED;
        set->in_call = false;
        (void)hf_steal_ptr(set);
        return HF_PENDING;
}
