/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/set-private.h"

#include "base/cleanup.h"
#include "daemon/area.h"
#include "daemon/dispatch.h"
#include "daemon/event.h"
#include "daemon/metadata.h"
#include "daemon/owner.h"
#include "daemon/release.h"
#include "daemon/wait.h"

#include <errno.h>
#include <string.h>

/* Members tried in one turn of the loop, before others are served: some 100 microseconds. */
#define MEMBERS_PER_TURN 32

static const struct hf_holdfast_acquire_args *want_of(const struct hf_set *set, size_t member)
{
        return &set->args.wants.wants_val[member];
}

static struct hf_thing thing_of(const struct hf_holdfast_acquire_args *want)
{
        return (struct hf_thing){want->thing.kind, want->thing.dev, want->thing.ino};
}

/* ---- what stands in the way, as far as the table knows ---- */

/* Without asking a filesystem: a hold against the member, or 0. */
static uint32_t opposing_hold(struct hf_set *set, size_t member)
{
        const struct hf_holdfast_acquire_args *want = want_of(set, member);
        struct hf_table *table = set->server->table;
        struct hf_request request = {
                .owner = set->session->owner,
                .lockspace = hf_table_find_lockspace(table, want->path),
                .name = want->name,
                .shared = want->flags & HF_LOCK_ACQUIRE_SHARED,
                .thing = thing_of(want),
        };
        struct hf_verdict verdict;

        if (hf_set_is_of_metadata(set))
                return hf_rules_metadata(table, &request.thing);
        verdict = hf_rules_by_name(table, &request);
        if (verdict.kind != HF_VERDICT_CONFLICT && request.thing.kind != HF_THING_NONE) {
                if (request.lockspace == HF_LOCKSPACE_DEFAULT)
                        request.file = request.thing;
                verdict = hf_rules_by_thing(table, &request);
        }
        return verdict.kind == HF_VERDICT_CONFLICT ? verdict.hold : 0;
}

static void note_hold(struct hf_set *set, size_t member, uint32_t hold)
{
        set->outcome.status = -EBUSY;
        set->outcome.refused = member;
        set->outcome.hold = hold;
        set->outcome.elsewhere = NULL;
        set->outcome.error.text[0] = '\0';
        set->foreign = false;
        set->blocked_by = hf_table_hold(set->server->table, hold)->lock;
}

bool hf_set_look(struct hf_set *set)
{
        for (size_t i = 0; i < hf_set_size(set); i++) {
                uint32_t hold = opposing_hold(set, set->order[i]);

                if (hold) {
                        note_hold(set, set->order[i], hold);
                        return true;
                }
        }
        return false;
}

bool hf_set_look_at_line(struct hf_set *set)
{
        if (!set->entry || hf_queue_is_ready(set->entry))
                return false;
        set->outcome = (struct hf_set_acquired){.status = -EBUSY,
                                                .refused = hf_queue_obstacle(set->entry)};
        set->foreign = false;
        set->blocked_by = 0;
        return true;
}

/* What is kept for those who asked before. */
static void describe_line(struct hf_set *set)
{
        size_t member = set->outcome.refused;
        unsigned int before = hf_queue_position(set->entry, member) - 1;

        (void)hf_error_set(&set->outcome.error, EBUSY, HF_ERR_RESOURCE_BUSY, HF_FROM_LOCKSPACE,
                           "%u who asked before wait%s for %s", before, before == 1 ? "s" : "",
                           want_of(set, member)->name);
}

void hf_set_describe(struct hf_set *set)
{
        const struct hf_holdfast_acquire_args *want = want_of(set, set->outcome.refused);
        struct hf_acquire_job job = {
                .server = set->server,
                .name = want->name,
                .request = {.owner = set->session->owner,
                            .shared = want->flags & HF_LOCK_ACQUIRE_SHARED},
        };
        hf_cleanup_free char *words = NULL;
        struct hf_acquired refused = {0};
        const struct hf_hold *hold = hf_table_hold(set->server->table, set->outcome.hold);

        if (*set->outcome.error.text)
                return;
        if (!set->outcome.hold) {
                if (set->entry)
                        describe_line(set);
                return;
        }
        if (hf_set_is_of_metadata(set)) {
                const char *name = *want->name ? want->name
                                               : hf_table_string(set->server->table, hold->name);

                if (asprintf(&words, "the metadata of %s", *name ? name : "a file") < 0)
                        words = NULL;
                job.name = words ? words : want->name;
                job.request.owner = 0;
        }
        hf_acquire_refuse(&job, set->outcome.hold, &refused);
        set->outcome.error = refused.error;
}

/* ---- the end ---- */

/* Of a part that this try has entered, as long as nobody else has given it back. */
static bool is_there(const struct hf_set *set, const struct hf_set_part *part)
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
                if (!set->parts[i].check && is_there(set, &set->parts[i]))
                        return true;
        return set->member != NULL;
}

void hf_set_give_awaited(struct hf_set *set)
{
        struct hf_resource_result *got = &set->got;
        const struct hf_holdfast_acquire_args *want = want_of(set, set->got_for);

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
                if (!set->parts[i].check && is_there(set, &set->parts[i]))
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

static void fail(struct hf_set *set, int status)
{
        set->outcome.status = status;
        set->outcome.hold = 0;
        set->outcome.elsewhere = NULL;
        set->foreign = false;
        set->ends = true;
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

static void give_back(struct hf_set *set)
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

/* Holds that were not given back before, by all that is known. */
static unsigned int count_holds(struct hf_set *set)
{
        struct hf_table *table = set->server->table;
        unsigned int n = 0;

        for (uint32_t i = hf_table_owner(table, set->session->owner)->first_hold; i;
             i = hf_table_hold(table, i)->next_in_owner) {
                const struct hf_hold *hold = hf_table_hold(table, i);

                n += hold->check && !(hf_table_lock(table, hold->lock)->flags & HF_LOCK_RELEASING);
        }
        return n;
}

bool hf_set_may_not_wait(struct hf_set *set)
{
        unsigned int holds = count_holds(set);
        char text[HF_ERROR_TEXT_MAX];

        if (holds == 0)
                return false;
        hf_set_describe(set);
        memcpy(text, set->outcome.error.text, sizeof(text));
        fail(set, hf_error_set(&set->outcome.error, EDEADLK, HF_ERR_SYSTEM, HF_FROM_LOCKSPACE,
                               "%.700s%spid %d holds %u lock%s already, and who holds something "
                               "does not wait for more, as it could be waited for in turn: acquire "
                               "all at once, or release that first",
                               text, *text ? "; and " : "", (int)set->session->owner_pid, holds,
                               holds > 1 ? "s" : ""));
        set->outcome.error.sys = EDEADLK;
        return true;
}

/* The outcome says why it was refused: for now, or for good. */
static void refuse(struct hf_set *set)
{
        /* A filesystem that has too much to do is waited for, too. */
        if (set->outcome.status == -EAGAIN && set->entry)
                set->outcome.status = -EBUSY;
        if (set->outcome.status != -EBUSY || !set->entry ||
            (set->until && hf_work_boottime() >= set->until))
                set->ends = true;
        else
                (void)hf_set_may_not_wait(set);
        give_back(set);
}

/* ---- the try ---- */

static int enter_metadata(struct hf_set *set, size_t member, struct hf_acquired *ret)
{
        const struct hf_holdfast_acquire_args *want = want_of(set, member);
        struct hf_table *table = set->server->table;
        const struct hf_metadata_lock what = {
                .owner = set->session->owner,
                .thing = thing_of(want),
                .name = want->name,
                .via = set->session->via,
                .since = hf_server_wall_clock(set->server),
                .set = set->number,
        };

        ret->file = hf_rules_metadata_key(what.thing.dev, what.thing.ino);
        ret->hold = hf_rules_metadata(table, &what.thing);
        if (ret->hold) {
                ret->had = hf_table_hold(table, ret->hold)->set == set->number;
                ret->status = ret->had ? 0 : -EBUSY;
                return HF_ANSWERED;
        }
        ret->status = hf_metadata_enter(set->server, &what, &ret->hold);
        if (ret->status < 0)
                ret->status = hf_error_sys(&ret->error, -ret->status,
                                           "cannot note the lock of the metadata of %s",
                                           want->name);
        return HF_ANSWERED;
}

static int begin_member(struct hf_set *set, size_t member, struct hf_acquired *ret)
{
        const struct hf_holdfast_acquire_args *want = want_of(set, member);
        struct hf_session *session = set->session;
        const struct hf_acquire acquire = {
                .lockspace = want->path,
                .name = want->name,
                .image = want->image,
                .shared = want->flags & HF_LOCK_ACQUIRE_SHARED,
                .autocreate = want->flags & HF_LOCK_ACQUIRE_AUTOCREATE,
                .thing = thing_of(want),
        };
        uint32_t lockspace;
        int r;

        if (hf_set_is_of_metadata(set))
                return enter_metadata(set, member, ret);
        lockspace = hf_table_find_lockspace(set->server->table, want->path);
        r = hf_acquire_job_new(set->server, session->owner, &acquire, lockspace, &set->member);
        if (r < 0) {
                ret->status = hf_error_sys(&ret->error, -r, "cannot lock %s", want->name);
                return HF_ANSWERED;
        }
        set->member->session = session;
        set->member->set = set;
        set->member->number = set->number;
        set->member->via = session->via;
        set->member->since = hf_server_wall_clock(set->server);
        if (set->got.fd >= 0 && set->got_for == member) {
                set->member->result = set->got;
                set->member->has_lock = true;
                set->member->begun = set->got.proved;
                set->got.fd = -1;
        }
        return hf_acquire_begin(set->member, ret);
}

/* The member stands in its own set's way: it was asked for in two modes. */
static bool is_own(const struct hf_set *set, uint32_t hold)
{
        return hold && hf_table_hold(set->server->table, hold)->set == set->number;
}

static void note_refusal(struct hf_set *set, size_t member, const struct hf_acquired *acquired)
{
        struct hf_set_acquired *outcome = &set->outcome;

        if (acquired->hold)
                note_hold(set, member, acquired->hold);
        outcome->refused = member;
        outcome->status = acquired->status;
        outcome->hold = acquired->hold;
        outcome->error = acquired->error;
        outcome->elsewhere = NULL;
        set->foreign = acquired->foreign;
        if (!acquired->hold)
                set->blocked_by = 0;
        if (acquired->elsewhere) {
                set->elsewhere = *acquired->elsewhere;
                outcome->elsewhere = &set->elsewhere;
        }
        if (!is_own(set, acquired->hold))
                return;
        fail(set, hf_error_set(&outcome->error, EINVAL, HF_ERR_INVALID_ARG, HF_FROM_LOCKSPACE,
                               "the set asks for %s twice, shared and not shared",
                               want_of(set, member)->name));
}

/* Whoever waits for the same by another name is to stand in the same line. */
static void learn(struct hf_set *set, size_t member)
{
        if (set->member && set->entry)
                hf_waits_learn(set, member, hf_rules_thing(&set->member->request));
}

/* As far as a lock goes: of a metadata lock as far as this host. */
static void note_guarantee(struct hf_set *set, const struct hf_thing *file)
{
        struct hf_guarantee_of guarantee = {.level = HF_LEVEL_HOST};

        if (!hf_set_is_of_metadata(set))
                hf_work_guarantee(set->server, file, &guarantee);
        if (set->at == 0 || (unsigned int)guarantee.level < set->guarantee)
                set->guarantee = guarantee.level;
}

/* What is there by the member that is being tried, which was had. */
static void add_part(struct hf_set *set, const struct hf_acquired *acquired)
{
        struct hf_set_part *part = &set->parts[set->at];

        note_guarantee(set, &acquired->file);
        *part = (struct hf_set_part){.hold = acquired->hold};
        part->check = hf_table_hold(set->server->table, part->hold)->check;
        /* Named twice: it is there by the first time. */
        if (acquired->had && !part->check)
                part->hold = 0;
        set->at++;
}

/* Whether the try goes on: the member that is being tried is there. */
static bool take_note(struct hf_set *set, const struct hf_acquired *acquired)
{
        size_t member = set->order[set->at];

        learn(set, member);
        if (acquired->status < 0) {
                note_refusal(set, member, acquired);
                refuse(set);
                return false;
        }
        set->member = hf_acquire_job_free(set->member);
        add_part(set, acquired);
        /* It is known now what is behind its name, and somebody else asked for that before. */
        if (hf_set_look_at_line(set)) {
                refuse(set);
                return false;
        }
        return true;
}

static bool is_whole(const struct hf_set *set)
{
        for (size_t i = 0; i < set->at; i++)
                if (set->parts[i].hold && !is_there(set, &set->parts[i]))
                        return false;
        return true;
}

static void grant(struct hf_set *set)
{
        struct hf_table *table = set->server->table;
        uint32_t first = 0, last = 0;

        /* Others were served meanwhile, who may have given back what is another one's. */
        if (!is_whole(set)) {
                set->again = true;
                give_back(set);
                return;
        }
        for (size_t i = 0; i < set->at; i++) {
                uint32_t hold = set->parts[i].check ? 0 : set->parts[i].hold;

                if (!hold)
                        continue;
                if (last)
                        hf_table_hold(table, last)->next_in_set = hold;
                else
                        first = hold;
                last = hold;
        }
        set->outcome = (struct hf_set_acquired){
                .had = first == 0,
                .number = first ? set->number : 0,
                .guarantee = set->guarantee,
        };
        if (first)
                hf_session_intend(set->session, HF_INTENT_CLAIM_SET, first);
        hf_set_end(set);
}

void hf_set_go_on(struct hf_set *set)
{
        struct hf_error *err = &set->outcome.error;
        int r = hf_owner_bind(set->session, err);

        if (r < 0) {
                fail(set, r);
                give_back(set);
                return;
        }
        while (set->at < hf_set_size(set)) {
                struct hf_acquired acquired = {0};

                if (set->in_turn++ == MEMBERS_PER_TURN) {
                        set->in_turn = 0;
                        hf_waits_next_turn(set);
                        return;
                }
                if (begin_member(set, set->order[set->at], &acquired) == HF_PENDING ||
                    !take_note(set, &acquired))
                        return;
        }
        grant(set);
}

void hf_set_member_ended(struct hf_set *set, const struct hf_acquired *acquired)
{
        struct hf_server *server = set->server;

        set->in_turn = 0;
        if (take_note(set, acquired))
                hf_set_go_on(set);
        hf_waits_serve(server);
}

static int by_name(const void *a, const void *b, void *data)
{
        const struct hf_holdfast_acquire_args *x = want_of(data, *(const uint32_t *)a);
        const struct hf_holdfast_acquire_args *y = want_of(data, *(const uint32_t *)b);
        int r = strcmp(x->path, y->path);

        return r ? r : strcmp(x->name, y->name);
}

/* What was waited for comes first: it is in hand. */
static void put_in_order(struct hf_set *set)
{
        uint32_t n = (uint32_t)hf_set_size(set), at = 0;

        for (uint32_t i = 0; i < n; i++)
                set->order[i] = i;
        if (n > 1)
                qsort_r(set->order, n, sizeof(*set->order), by_name, set);
        if (set->got.fd < 0)
                return;
        while (set->order[at] != set->got_for)
                at++;
        memmove(set->order + 1, set->order, at * sizeof(*set->order));
        set->order[0] = (uint32_t)set->got_for;
}

void hf_set_try(struct hf_set *set)
{
        struct hf_error error;
        int r = hf_owner_bind(set->session, &error);

        hf_waits_await_no_more(set);
        set->state = HF_SET_TRYING;
        set->again = false;
        set->look_at = 0;
        set->in_turn = 0;
        set->blocked_by = 0;
        if (set->got.fd >= 0)
                put_in_order(set);
        if (r < 0) {
                set->outcome.error = error;
                fail(set, r);
                give_back(set);
        } else if (hf_set_look(set))
                refuse(set);
        else
                hf_set_go_on(set);
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
                put_in_order(set);
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
