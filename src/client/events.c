/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Streams of events: one call that is never answered, and the messages that come to it. What
 * came is kept until it is whole; nothing here waits but where the caller said so.
 */
#include "client/query.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "rpc/errors.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

/* How long the daemon may take to say that it has begun to tell. */
#define BEGIN_TIMEOUT_MS 10000

/* Largest message that a daemon has: its whole answer slot, and room for a later one's. */
#define MESSAGE_MAX (1024 * 1024)

/* Received at once. */
#define PIECE 65536

struct holdfast_events {
        struct hf_query query;
        unsigned int serial;
        bool begun; /* the first message came */
        uint8_t *buffer;
        size_t have, room;
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
        hf_query_done(&events->query);
        free(events->buffer);
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

/* What the stream ends with. */
static int end(struct holdfast_events *events, int number, struct holdfast_error *err)
{
        const char *path = events->query.caller.path;

        if (number == ECONNRESET || number == EPIPE || number == ENOTCONN)
                return hf_fail(err, ECONNRESET, HOLDFAST_E_NO_DAEMON,
                               "the lock daemon at %s has closed the connection", path);
        return hf_fail(err, number, HOLDFAST_E_PROTOCOL,
                       "cannot listen to the lock daemon at %s: %s", path, strerrordesc_np(number));
}

/* The daemon has answered, which it does only to refuse. */
static int refused(const uint8_t *payload, size_t len, const struct hf_rpc_header *header,
                   struct holdfast_error *err)
{
        struct hf_error error = {0};
        int r = -EBADMSG;

        if (header->status == HF_RPC_ERROR)
                r = hf_rpc_get_error(payload, len, &error);
        if (*error.text)
                return hf_fail_from(err, r, &error);
        return hf_fail(err, EBADMSG, HOLDFAST_E_PROTOCOL,
                       "the lock daemon has ended the stream of events");
}

static int take_message(struct holdfast_events *events, size_t length, struct holdfast_error *err)
{
        const uint8_t *payload = events->buffer + HF_RPC_HEADER_SIZE;
        size_t len = length - HF_RPC_HEADER_SIZE;
        struct hf_rpc_header header;
        struct hf_error error = {0};
        int r;

        hf_rpc_get_header(events->buffer, &header);
        if (header.prog != HF_HOLDFAST_PROGRAM || header.serial != events->serial)
                return 0;
        if (header.type == HF_RPC_REPLY)
                return refused(payload, len, &header, err);
        if (header.type != HF_RPC_MESSAGE || header.proc != HF_HOLDFAST_EVENT)
                return 0;
        r = hf_rpc_get_payload(payload, len, (xdrproc_t)xdr_hf_holdfast_event_list, &events->list,
                               &error);
        if (r < 0)
                return end(events, EBADMSG, err);
        events->begun = true;
        events->missed += events->list.missed;
        return 0;
}

/* Takes a whole message out of the buffer, if there is one: returns 1, else 0. */
static int take_next(struct holdfast_events *events, struct holdfast_error *err)
{
        int64_t length = events->have < HF_RPC_LENGTH_SIZE ? 0 : hf_rpc_length(events->buffer);
        int r;

        if (length < 0 || length > MESSAGE_MAX)
                return end(events, EBADMSG, err);
        if (length == 0 || events->have < (size_t)length)
                return 0;
        r = take_message(events, (size_t)length, err);
        events->have -= (size_t)length;
        memmove(events->buffer, events->buffer + length, events->have);
        return r < 0 ? r : 1;
}

/* Returns the bytes that came, 0 when there are none now, or a negative errno. */
static int receive(struct holdfast_events *events, struct holdfast_error *err)
{
        ssize_t n;

        if (events->room - events->have < PIECE) {
                size_t room = events->room + 2 * (size_t)PIECE;
                uint8_t *more = realloc(events->buffer, room);

                if (!more)
                        return hf_fail_no_memory(err);
                events->buffer = more;
                events->room = room;
        }
        do
                n = recv(events->query.caller.fd, events->buffer + events->have, PIECE,
                         MSG_DONTWAIT);
        while (n < 0 && errno == EINTR);
        if (n < 0)
                return errno == EAGAIN ? 0 : end(events, errno, err);
        if (n == 0)
                return end(events, ECONNRESET, err);
        events->have += (size_t)n;
        return (int)n;
}

/* Returns 1 when something can be read, 0 when time is up. */
static int wait_for(const struct holdfast_events *events, int64_t deadline)
{
        struct pollfd poller = {.fd = events->query.caller.fd, .events = POLLIN};
        int64_t left = deadline < 0 ? -1 : deadline - now_ms();

        if (deadline >= 0 && left <= 0)
                return 0;
        /* An interruption is like bytes that did not come. */
        return poll(&poller, 1, (int)left) != 0;
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
        int r;

        for (;;) {
                if (begin && events->begun)
                        return 1;
                while (events->at < events->list.events.events_len)
                        if (give_out(events))
                                return 1;
                drop_list(events);
                r = take_next(events, err);
                if (r == 0)
                        r = receive(events, err);
                if (r < 0)
                        return r;
                if (r == 0 && !wait_for(events, deadline))
                        return 0;
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
        struct hf_rpc_header header = {
                .prog = HF_HOLDFAST_PROGRAM,
                .vers = HF_HOLDFAST_VERSION,
                .proc = HF_HOLDFAST_EVENTS,
                .type = HF_RPC_CALL,
                .serial = events->query.caller.serial++,
        };
        uint8_t call[HF_RPC_HEADER_SIZE + 16];
        int len = hf_rpc_put(call, sizeof(call), &header, (xdrproc_t)xdr_hf_holdfast_events_args,
                             &args);

        events->serial = header.serial;
        /* Nothing else is on its way there: so little always fits. */
        if (send(events->query.caller.fd, call, (size_t)len, MSG_NOSIGNAL | MSG_DONTWAIT) != len)
                return end(events, errno, err);
        return 0;
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
                return end(events, ETIMEDOUT, err);
        *ret = hf_steal_ptr(events);
        return 0;
}
