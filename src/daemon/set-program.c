/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The calls about sets: taken, waited for, given back, and who waits. */
#include "daemon/holdfast-private.h"

#include "daemon/event.h"
#include "daemon/release.h"
#include "daemon/set-private.h"
#include "daemon/wait.h"

#include <errno.h>

/* What stands in the way, as far as somebody can be named. */
static void fill_obstacle(struct hf_server *server, const struct hf_set_acquired *acquired,
                          struct hf_wire_obstacle *ret)
{
        hf_wire_obstacle(server, acquired->status < 0 ? acquired->hold : 0, acquired->elsewhere,
                         ret);
}

static void answer_acquire_set(struct hf_session *session, const struct hf_set_acquired *acquired)
{
        struct hf_holdfast_acquire_set_ret ret = {
                .granted = acquired->status < 0 ? HF_HOLDFAST_REFUSED
                           : acquired->had      ? HF_HOLDFAST_HAD
                                                : HF_HOLDFAST_GRANTED,
                .guarantee = acquired->guarantee,
                .token = acquired->number,
                .waited = acquired->waited,
                .refused = (unsigned int)acquired->refused,
                .text = (char *)(uintptr_t)acquired->error.text,
        };
        struct hf_wire_obstacle obstacle;

        if (acquired->status < 0 && acquired->status != -EBUSY) {
                hf_session_answer_error(session, &acquired->error);
                return;
        }
        fill_obstacle(session->server, acquired, &obstacle);
        ret.holder = obstacle.holder;
        ret.elsewhere = obstacle.elsewhere;
        hf_session_answer(session, (xdrproc_t)xdr_hf_holdfast_acquire_set_ret, &ret);
}

int hf_call_acquire_set(struct hf_session *session, const void *args, struct hf_error *err)
{
        return hf_acquire_set(session, args, answer_acquire_set, err);
}

int hf_call_release_set(struct hf_session *session, const void *data, struct hf_error *err)
{
        const struct hf_holdfast_release_set_args *args = data;

        return hf_release_set(session, args->token, err);
}

/* ---- what is told of it ---- */

static void tell_event(const struct hf_set *set, enum hf_holdfast_event_kind kind)
{
        const struct hf_holdfast_acquire_args *of = &set->args.wants
                                                             .wants_val[set->outcome.refused];
        const struct hf_event_want want = {
                .session = set->session,
                .lockspace = of->path,
                .name = of->name,
                .metadata = hf_set_is_of_metadata(set),
                .shared = of->flags & HF_LOCK_ACQUIRE_SHARED,
        };

        hf_event_of_want(set->server, kind, &want, set->outcome.error.text);
}

void hf_set_note_wait(struct hf_set *set)
{
        hf_set_describe(set);
        tell_event(set, HF_HOLDFAST_EVENT_WAITING);
}

void hf_set_note_end(const struct hf_set *set)
{
        if (set->outcome.status == -EBUSY)
                tell_event(set, HF_HOLDFAST_EVENT_REFUSED);
        if (set->waits)
                hf_event_waited(set->server, hf_work_boottime() - set->begun,
                                set->outcome.status < 0);
}

/* ---- who waits ---- */

/* When it began to wait, by the clock that people read. */
static uint64_t wall_clock_of(struct hf_server *server, uint64_t boottime)
{
        return hf_server_wall_clock(server) - (hf_work_boottime() - boottime);
}

bool hf_wire_tell_waiting(const struct hf_set *set)
{
        struct hf_holdfast_waiting waiting = {
                .position = hf_queue_position(set->entry, set->outcome.refused),
                .refused = (unsigned int)set->outcome.refused,
                .since = wall_clock_of(set->server, set->begun),
                .text = (char *)(uintptr_t)set->outcome.error.text,
        };
        struct hf_wire_obstacle obstacle;

        fill_obstacle(set->server, &set->outcome, &obstacle);
        waiting.holder = obstacle.holder;
        waiting.elsewhere = obstacle.elsewhere;
        return hf_session_tell(set->session, HF_HOLDFAST_WAITING,
                               (xdrproc_t)xdr_hf_holdfast_waiting, &waiting);
}

static void fill_waiter(const struct hf_set *set, size_t member, struct hf_holdfast_waiter *ret)
{
        const struct hf_holdfast_acquire_args *want = &set->args.wants.wants_val[member];
        struct hf_server *server = set->server;

        *ret = (struct hf_holdfast_waiter){
                .ticket = set->number,
                .position = hf_queue_position(set->entry, member),
                .class = set->args.class,
                .lockspace = want->path,
                .name = want->name,
                .thing = want->thing,
                .shared = want->flags & HF_LOCK_ACQUIRE_SHARED ? 1 : 0,
                .since = wall_clock_of(server, set->begun),
                .until = set->until ? hf_server_wall_clock(server) + set->until - hf_work_boottime()
                                    : HF_HOLDFAST_FOREVER,
        };
        hf_wire_owner(server, set->session->owner, &ret->owner);
        ret->owner.via = set->session->via;
}

/* The entry of that number among all, or false. */
static bool find_entry(const struct hf_server *server, uint32_t cursor, const struct hf_set **set,
                       size_t *ret_member)
{
        size_t at = cursor;

        while ((*set = hf_waits_next(server, *set))) {
                size_t n = (*set)->waits ? hf_set_size(*set) : 0;

                if (at < n) {
                        *ret_member = at;
                        return true;
                }
                at -= n;
        }
        return false;
}

int hf_call_list_waiters(struct hf_session *session, const void *data, struct hf_error *err)
{
        const struct hf_holdfast_list_args *args = data;
        struct hf_holdfast_waiter waiters[HF_HOLDFAST_PAGE_MAX];
        struct hf_holdfast_list_waiters_ret ret = {.waiters.waiters_val = waiters};
        const struct hf_set *set = NULL;
        size_t member = 0, size = 0;

        (void)err;
        if (!find_entry(session->server, args->cursor, &set, &member))
                set = NULL;
        for (; set; set = hf_waits_next(session->server, set), member = 0) {
                for (; set->waits && member < hf_set_size(set) && !ret.next; member++) {
                        struct hf_holdfast_waiter *waiter = &waiters[ret.waiters.waiters_len++];

                        fill_waiter(set, member, waiter);
                        size += xdr_sizeof((xdrproc_t)xdr_hf_holdfast_waiter, waiter);
                        if (size > HF_PAGE_FULL || ret.waiters.waiters_len == HF_HOLDFAST_PAGE_MAX)
                                ret.next = args->cursor + ret.waiters.waiters_len;
                }
                if (ret.next)
                        break;
        }
        hf_session_answer(session, (xdrproc_t)xdr_hf_holdfast_list_waiters_ret, &ret);
        return HF_ANSWERED;
}
