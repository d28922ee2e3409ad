/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Telling listeners what was noted. */
#include "daemon/event-private.h"

#include "base/cleanup.h"
#include "daemon/area.h"
#include "daemon/dispatch.h"

#include <errno.h>
#include <string.h>

/* Of one message: as many of the largest as fit. */
#define TOLD_AT_ONCE 100

_Static_assert(TOLD_AT_ONCE *(sizeof(struct hf_event_record) + 64) < HF_SESSION_MESSAGE_MAX,
               "they fit into a message");

/* Listeners told in one turn of the loop, before others are served: some 20 microseconds. */
#define LISTENERS_PER_TURN 16

/* Somebody who listens; the job of its session. */
struct hf_event_listener {
        struct hf_session *session;
        struct hf_event_listener *next, **prev;
};

static const char *get_string(const struct hf_event_record *record, size_t *at)
{
        const char *text = record->strings + *at;
        const char *end = memchr(text, '\0', sizeof(record->strings) - *at);

        if (!end)
                return "";
        /* Behind the last one there may be nothing: then it is told again, as "". */
        *at += (size_t)(end - text) + 1;
        if (*at >= sizeof(record->strings))
                *at = sizeof(record->strings) - 1;
        return text;
}

static void fill_event(const struct hf_event_record *record, struct hf_holdfast_event *ret)
{
        size_t at = 0;

        *ret = (struct hf_holdfast_event){
                .number = record->number,
                .time = record->time,
                .kind = record->kind,
                .class = record->metadata ? HF_HOLDFAST_METADATA : HF_HOLDFAST_CONTENT,
                .shared = record->shared,
                .pid = (unsigned int)record->pid,
        };
        memcpy(ret->uuid, record->uuid, sizeof(ret->uuid));
        ret->owner = (char *)(uintptr_t)get_string(record, &at);
        ret->via = (char *)(uintptr_t)get_string(record, &at);
        ret->lockspace = (char *)(uintptr_t)get_string(record, &at);
        ret->name = (char *)(uintptr_t)get_string(record, &at);
        ret->text = (char *)(uintptr_t)get_string(record, &at);
}

/* The events from *next on; moves that behind them. */
static void fill_list(const struct hf_event_log *log, uint64_t *next,
                      struct hf_holdfast_event_list *ret)
{
        /* A number that the ring has lost, or that was never given out. */
        if (*next < log->first || *next > log->next)
                *next = log->first;
        if (log->next - *next > HF_EVENTS_KEPT) {
                ret->missed = log->next - *next - HF_EVENTS_KEPT;
                *next = log->next - HF_EVENTS_KEPT;
        }
        for (; *next < log->next && ret->events.events_len < TOLD_AT_ONCE; (*next)++) {
                const struct hf_event_record *record = &log->records[*next % HF_EVENTS_KEPT];

                if (record->number == *next)
                        fill_event(record, &ret->events.events_val[ret->events.events_len++]);
                else
                        ret->missed++;
        }
}

/* Returns whether there was something, and it could be told. */
static bool tell_once(struct hf_session *session, bool even_nothing)
{
        struct hf_event_log *log = &session->server->area->events;
        struct hf_holdfast_event events[TOLD_AT_ONCE];
        struct hf_holdfast_event_list list = {.events.events_val = events};
        uint64_t next = session->event_next;

        fill_list(log, &next, &list);
        if (!list.events.events_len && !even_nothing)
                return false;
        if (!hf_session_tell(session, HF_HOLDFAST_EVENT, (xdrproc_t)xdr_hf_holdfast_event_list,
                             &list))
                return false;
        /* A server that is killed before this has told it, and the next one does so again. */
        session->event_next = next;
        log->counters.missed += list.missed;
        return true;
}

static void tell(struct hf_session *session)
{
        while (!hf_exchange_tells(&session->exchange) && tell_once(session, false))
                ;
}

static void on_told(void *data)
{
        const struct hf_event_listener *listener = data;

        tell(listener->session);
}

static void on_left(void *data)
{
        struct hf_event_listener *listener = data;
        struct hf_server *server = listener->session->server;

        if (server->listener_to_tell == listener)
                server->listener_to_tell = listener->next;
        *listener->prev = listener->next;
        if (listener->next)
                listener->next->prev = listener->prev;
        free(listener);
}

static int on_turn(sd_event_source *source, void *data)
{
        struct hf_server *server = data;
        struct hf_event_listener *i = server->listener_to_tell;

        for (unsigned int n = 0; i && n < LISTENERS_PER_TURN; n++, i = i->next)
                if (!hf_exchange_tells(&i->session->exchange) && tell_once(i->session, false) &&
                    i->session->event_next != server->area->events.next)
                        server->more_to_tell = true;
        if (!i && server->more_to_tell) {
                server->more_to_tell = false;
                i = server->listeners_of_events;
        }
        server->listener_to_tell = i;
        return i ? sd_event_source_set_enabled(source, SD_EVENT_ONESHOT) : 0;
}

/* One round is begun, or another one behind it. */
void hf_event_happened(struct hf_server *server)
{
        if (!server->listeners_of_events)
                return;
        if (server->listener_to_tell)
                server->more_to_tell = true;
        else
                server->listener_to_tell = server->listeners_of_events;
        (void)sd_event_source_set_enabled(server->event_teller, SD_EVENT_ONESHOT);
}

/* The source is there with the first listener. Its turns come when the answers have gone. */
static int make_teller(struct hf_server *server)
{
        int r;

        if (server->event_teller)
                return 0;
        r = sd_event_add_defer(server->event, &server->event_teller, on_turn, server);
        return r < 0 ? r : sd_event_source_set_enabled(server->event_teller, SD_EVENT_OFF);
}

static void set_begin(struct hf_session *session, uint64_t after)
{
        const struct hf_event_log *log = &session->server->area->events;

        if (!after)
                session->event_next = log->next;
        else if (after < log->first || after >= log->next)
                session->event_next = log->first;
        else
                session->event_next = after + 1;
}

int hf_event_listen(struct hf_session *session, uint64_t after, struct hf_error *err)
{
        struct hf_server *server = session->server;
        struct hf_event_listener *listener;
        int r = make_teller(server);

        if (r < 0)
                return hf_error_sys(err, -r, "cannot tell of events");
        listener = calloc(1, sizeof(*listener));
        if (!listener)
                return hf_error_sys(err, ENOMEM, "cannot tell of events");
        listener->session = session;
        listener->next = server->listeners_of_events;
        listener->prev = &server->listeners_of_events;
        if (listener->next)
                listener->next->prev = &listener->next;
        server->listeners_of_events = listener;
        session->job = listener;
        session->cancel = on_left;
        session->told = on_told;
        /* Of a request that an earlier server began with, the begin is known. */
        if (!session->event_next)
                set_begin(session, after);
        server->area->events.kept_until = server->area->events.next + HF_EVENTS_KEPT;
        /* The first message, perhaps an empty one, says that from now on nothing is missed. */
        (void)tell_once(session, true);
        tell(session);
        return HF_PENDING;
}

unsigned int hf_event_listeners(const struct hf_server *server)
{
        unsigned int n = 0;

        for (const struct hf_event_listener *i = server->listeners_of_events; i; i = i->next)
                n++;
        return n;
}
