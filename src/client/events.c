/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Events: the messages of a stream, one event at a time. */
#include "client/stream.h"

#include "base/cleanup.h"
#include "base/clock.h"

#include <errno.h>
#include <string.h>

/* How long the daemon may take to say that it has begun to tell. */
#define BEGIN_TIMEOUT_MS 10000

struct holdfast_events {
        struct hf_query query;
        struct hf_stream stream;
        bool begun;                         /* the first message came */
        struct hf_holdfast_event_list list; /* of the last message */
        size_t at;                          /* the next of them */
        uint64_t missed;                    /* before that */
        uint64_t last;                      /* number that was given out */
        struct holdfast_event event;
};

HF_PUBLIC const char *holdfast_event_name(unsigned int kind)
{
        static const char *const names[] = {
                [HOLDFAST_EVENT_ACQUIRED] = "acquired", [HOLDFAST_EVENT_WAITING] = "waiting",
                [HOLDFAST_EVENT_REFUSED] = "refused",   [HOLDFAST_EVENT_RELEASED] = "released",
                [HOLDFAST_EVENT_KILLED] = "killed",     [HOLDFAST_EVENT_LOST] = "lost",
                [HOLDFAST_EVENT_DOUBTED] = "doubted",   [HOLDFAST_EVENT_STARTED] = "started",
        };

        return kind < HF_ARRAY_LEN(names) && names[kind] ? names[kind] : "unknown";
}

static void drop_list(struct holdfast_events *events)
{
        hf_rpc_free((xdrproc_t)xdr_hf_holdfast_event_list, &events->list);
        memset(&events->list, 0, sizeof(events->list));
        events->at = 0;
}

HF_PUBLIC void holdfast_events_close(struct holdfast_events *events)
{
        if (!events)
                return;
        drop_list(events);
        hf_stream_done(&events->stream);
        hf_query_done(&events->query);
        free(events);
}

static void events_freep(struct holdfast_events **events)
{
        holdfast_events_close(*events);
}

HF_PUBLIC int holdfast_events_fd(const struct holdfast_events *events)
{
        return events->query.caller.fd;
}

static int64_t now_ms(void)
{
        return hf_clock_msec(CLOCK_MONOTONIC);
}

static int take(struct holdfast_events *events, const struct hf_stream_message *message,
                struct holdfast_error *err)
{
        struct hf_error error = {0};

        if (hf_rpc_get_payload(message->payload, message->len,
                               (xdrproc_t)xdr_hf_holdfast_event_list, &events->list, &error) < 0)
                return hf_stream_end(&events->stream, EBADMSG, err);
        events->begun = true;
        events->missed += events->list.missed;
        return 0;
}

/* A server that was killed may tell again what it has told. */
static bool give_out(struct holdfast_events *events)
{
        const struct hf_holdfast_event *from = &events->list.events.events_val[events->at++];

        if (from->number <= events->last)
                return false;
        events->event = (struct holdfast_event){
                .size = sizeof(events->event),
                .number = from->number,
                .missed = events->missed,
                .time = from->time,
                .kind = from->kind,
                .metadata = from->class == HF_HOLDFAST_METADATA,
                .shared = from->shared,
                .lockspace = from->lockspace,
                .name = from->name,
                .vm = from->owner,
                .pid = (pid_t)from->pid,
                .via = from->via,
                .text = from->text,
        };
        memcpy(events->event.uuid, from->uuid, sizeof(events->event.uuid));
        events->last = from->number;
        events->missed = 0;
        return true;
}

/* Until there is an event, or only the begin if that is what is waited for. */
static int advance(struct holdfast_events *events, int timeout_ms, bool begin,
                   struct holdfast_error *err)
{
        int64_t deadline = timeout_ms < 0 ? -1 : now_ms() + timeout_ms;
        struct hf_stream_message message;
        int64_t left;
        int r;

        for (;;) {
                if (begin && events->begun)
                        return 1;
                while (events->at < events->list.events.events_len)
                        if (give_out(events))
                                return 1;
                drop_list(events);
                left = deadline < 0 ? -1 : deadline - now_ms();
                r = hf_stream_next(&events->stream, left < 0 && deadline >= 0 ? 0 : (int)left,
                                   &message, err);
                if (r > 0)
                        r = take(events, &message, err);
                else if (r == 0)
                        return 0;
                if (r < 0)
                        return r;
        }
}

HF_PUBLIC int holdfast_events_next(struct holdfast_events *events, int timeout_ms,
                                   const struct holdfast_event **ret, struct holdfast_error *err)
{
        int r = advance(events, timeout_ms, false, err);

        if (r > 0)
                *ret = &events->event;
        return r;
}

static int ask(struct holdfast_events *events, uint64_t after, struct holdfast_error *err)
{
        struct hf_holdfast_events_args args = {.after = after};

        events->stream = (struct hf_stream){
                .caller = &events->query.caller,
                .what = "lock daemon",
                .proc = HF_HOLDFAST_EVENT,
        };
        return hf_stream_begin(&events->stream, HF_HOLDFAST_EVENTS,
                               (xdrproc_t)xdr_hf_holdfast_events_args, &args, err);
}

HF_PUBLIC int holdfast_events_open(uint64_t after, unsigned int flags, struct holdfast_events **ret,
                                   struct holdfast_error *err)
{
        hf_cleanup(events_freep) struct holdfast_events *events = NULL;
        int r;

        if (flags)
                return hf_fail(err, EINVAL, HOLDFAST_E_INVALID, "unknown flags 0x%x", flags);
        events = calloc(1, sizeof(*events));
        if (!events)
                return hf_fail_no_memory(err);
        events->query = (struct hf_query)HF_QUERY_INIT;
        events->last = after;
        r = hf_query_open(&events->query, err);
        if (r < 0) {
                hf_query_done(&events->query);
                events->query = (struct hf_query)HF_QUERY_INIT;
                if (!hf_query_open_system(&events->query))
                        return r;
        }
        r = ask(events, after, err);
        if (r >= 0)
                r = advance(events, BEGIN_TIMEOUT_MS, true, err);
        if (r < 0)
                return r;
        if (r == 0)
                return hf_stream_end(&events->stream, ETIMEDOUT, err);
        *ret = hf_steal_ptr(events);
        return 0;
}
