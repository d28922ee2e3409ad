/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Noting what happened: counted, in the ring, in the journal. event-tell.c tells of it. */
#include "daemon/event-private.h"

#include "base/clock.h"

#include "daemon/area.h"

#include <holdfast/messages.h>
#include <string.h>

#define MODULE "daemon.event"

_Static_assert(sizeof(struct hf_event_record) == 1024, "four events are a page");

/* Longest of each string in a record; what is left is the text's. */
#define OWNER_MAX     127
#define VIA_MAX       63
#define LOCKSPACE_MAX 200
#define NAME_MAX_KEPT 400

/* One event, before it is noted anywhere. */
struct happening {
        enum hf_holdfast_event_kind kind;
        enum hf_log_level level; /* 0: the kind's */
        const char *owner, *via, *lockspace, *name, *text;
        const uint8_t *uuid;
        pid_t pid;
        bool metadata, shared;
};

/* How the journal tells of each kind; words NULL: the text says it. */
static const struct {
        enum hf_log_level level;
        const char *name, *id, *words;
} kinds[HF_EVENT_KINDS] = {
        [HF_HOLDFAST_EVENT_ACQUIRED] = {HF_LOG_INFO, "acquired", HOLDFAST_MESSAGE_ACQUIRED,
                                        "has acquired"},
        [HF_HOLDFAST_EVENT_WAITING] = {HF_LOG_INFO, "waiting", HOLDFAST_MESSAGE_WAITING,
                                       "waits for"},
        [HF_HOLDFAST_EVENT_REFUSED] = {HF_LOG_INFO, "refused", HOLDFAST_MESSAGE_REFUSED,
                                       "was refused"},
        [HF_HOLDFAST_EVENT_RELEASED] = {HF_LOG_INFO, "released", HOLDFAST_MESSAGE_RELEASED,
                                        "has released"},
        [HF_HOLDFAST_EVENT_KILLED] = {HF_LOG_WARNING, "killed", HOLDFAST_MESSAGE_KILLED, NULL},
        [HF_HOLDFAST_EVENT_LOST] = {HF_LOG_ERROR, "lost", HOLDFAST_MESSAGE_LOST,
                                    "has lost its lock of"},
        [HF_HOLDFAST_EVENT_DOUBTED] = {HF_LOG_INFO, "doubted", HOLDFAST_MESSAGE_DOUBTED,
                                       "may have lost its lock of"},
        [HF_HOLDFAST_EVENT_STARTED] = {HF_LOG_INFO, "started", HOLDFAST_MESSAGE_STARTED, NULL},
};

void hf_event_init(struct hf_event_log *log)
{
        log->first = hf_clock_usec(CLOCK_REALTIME);
        log->next = log->first;
}

static void put_string(struct hf_event_record *record, size_t *at, const char *text, size_t most)
{
        size_t room = sizeof(record->strings) - *at - 1;
        size_t len = strnlen(text, most < room ? most : room);

        memcpy(record->strings + *at, text, len);
        record->strings[*at + len] = '\0';
        /* The last one may fill it to its end. */
        if (*at + len + 1 < sizeof(record->strings))
                *at += len + 1;
}

static void fill_record(struct hf_server *server, struct hf_event_record *record,
                        const struct happening *what)
{
        size_t at = 0;

        record->time = hf_server_wall_clock(server);
        record->kind = (uint8_t)what->kind;
        record->pid = what->pid;
        record->metadata = what->metadata;
        record->shared = what->shared;
        if (what->uuid)
                memcpy(record->uuid, what->uuid, sizeof(record->uuid));
        else
                memset(record->uuid, 0, sizeof(record->uuid));
        put_string(record, &at, what->owner, OWNER_MAX);
        put_string(record, &at, what->via, VIA_MAX);
        put_string(record, &at, what->lockspace, LOCKSPACE_MAX);
        put_string(record, &at, what->name, NAME_MAX_KEPT);
        put_string(record, &at, what->text, sizeof(record->strings));
}

/* The number is the last that is stored of a record, and the ring's that of all. */
static void note(struct hf_server *server, const struct happening *what)
{
        struct hf_event_log *log = &server->area->events;
        struct hf_event_record *record = &log->records[log->next % HF_EVENTS_KEPT];

        if (server->listeners_of_events)
                log->kept_until = log->next + HF_EVENTS_KEPT;
        if (log->next < log->kept_until || what->kind == HF_HOLDFAST_EVENT_STARTED) {
                record->number = 0;
                atomic_signal_fence(memory_order_seq_cst);
                fill_record(server, record, what);
                atomic_signal_fence(memory_order_seq_cst);
                record->number = log->next;
        }
        atomic_signal_fence(memory_order_seq_cst);
        log->next++;
        hf_event_happened(server);
}

/* The line of the log, and its fields in the journal. */
static void say(const struct happening *what)
{
        enum hf_log_level level = what->level ? what->level : kinds[what->kind].level;
        const char *who = *what->owner ? what->owner : "a VM without a name";
        char uuid[33], pid[16], line[HF_LOG_TEXT_MAX];
        struct hf_log_field fields[] = {
                {"HOLDFAST_EVENT", kinds[what->kind].name},
                {"HOLDFAST_VM", what->owner},
                {"HOLDFAST_VM_UUID", uuid},
                {"HOLDFAST_PID", pid},
                {"HOLDFAST_RESOURCE", what->name},
                {"HOLDFAST_LOCKSPACE", what->lockspace},
        };

        if (!hf_log_wants(level, MODULE))
                return;
        for (size_t i = 0; i < 16; i++)
                (void)snprintf(uuid + 2 * i, 3, "%02x", what->uuid ? what->uuid[i] : 0);
        (void)snprintf(pid, sizeof(pid), "%d", (int)what->pid);
        if (what->kind == HF_HOLDFAST_EVENT_STARTED)
                (void)snprintf(line, sizeof(line), "%s", what->text);
        else if (!kinds[what->kind].words)
                (void)snprintf(line, sizeof(line), "%s (pid %d) %s", who, (int)what->pid,
                               what->text);
        else
                (void)snprintf(line, sizeof(line), "%s (pid %d) %s %s%s%s%s%s", who, (int)what->pid,
                               kinds[what->kind].words, what->lockspace,
                               *what->lockspace ? "/" : "", what->name, *what->text ? ": " : "",
                               what->text);
        hf_log_fields(level, MODULE, kinds[what->kind].id, fields,
                      sizeof(fields) / sizeof(fields[0]), line);
}

static void happen(struct hf_server *server, const struct happening *what)
{
        server->area->events.counters.events[what->kind]++;
        note(server, what);
        say(what);
}

static void fill_owner(struct hf_server *server, uint32_t index, struct happening *ret)
{
        const struct hf_owner *owner = hf_table_owner(server->table, index);

        ret->owner = hf_table_string(server->table, owner->name);
        ret->via = owner->via;
        ret->uuid = owner->uuid;
        ret->pid = owner->pid;
}

void hf_event_of_hold(struct hf_server *server, enum hf_holdfast_event_kind kind, uint32_t hold,
                      const char *text)
{
        const struct hf_hold *held = hf_table_hold(server->table, hold);
        const struct hf_lock *lock = hf_table_lock(server->table, held->lock);
        struct happening what = {
                .kind = kind,
                .lockspace = hf_table_lockspace_path(server->table, held->lockspace),
                .name = hf_table_string(server->table, held->name),
                .text = text,
                .metadata = lock->flags & HF_LOCK_METADATA,
                .shared = lock->flags & HF_LOCK_SHARED,
        };

        fill_owner(server, held->owner, &what);
        what.via = held->via;
        happen(server, &what);
}

void hf_event_of_want(struct hf_server *server, enum hf_holdfast_event_kind kind,
                      const struct hf_event_want *want, const char *text)
{
        struct happening what = {
                .kind = kind,
                .lockspace = want->lockspace,
                .name = want->name,
                .text = text,
                .metadata = want->metadata,
                .shared = want->shared,
        };

        if (want->owner) {
                fill_owner(server, want->owner, &what);
        } else {
                what.owner = want->session->owner_name;
                what.uuid = want->session->owner_uuid;
                what.pid = want->session->owner_pid;
        }
        if (want->session)
                what.via = want->session->via;
        happen(server, &what);
}

void hf_event_of_owner(struct hf_server *server, enum hf_holdfast_event_kind kind, uint32_t owner,
                       const char *text)
{
        struct happening what = {.kind = kind, .lockspace = "", .name = "", .text = text};

        fill_owner(server, owner, &what);
        happen(server, &what);
}

void hf_event_of_start(struct hf_server *server, enum hf_log_level level, const char *text)
{
        const struct happening what = {
                .kind = HF_HOLDFAST_EVENT_STARTED,
                .level = level,
                .owner = "",
                .via = "",
                .lockspace = "",
                .name = "",
                .text = text,
                .pid = server->pids[0],
        };

        happen(server, &what);
}

void hf_event_waited(struct hf_server *server, uint64_t usec, bool timed_out)
{
        struct hf_counters *counters = &server->area->events.counters;

        counters->waited++;
        counters->wait_usec += usec;
        counters->timed_out += timed_out;
}
