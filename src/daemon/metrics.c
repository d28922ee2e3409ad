/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Metrics: what was counted since the daemon's start, and what there is now. */
#include "daemon/event.h"

#include "base/cleanup.h"
#include "daemon/area.h"
#include "daemon/guard.h"
#include "daemon/search.h"
#include "daemon/set-private.h"
#include "daemon/wait.h"

struct row {
        const char *name; /* as in OpenMetrics; what ends in _seconds is in microseconds here */
        bool gauge;
        uint64_t (*value)(struct hf_server *server);
        const char *help;
};

static const struct hf_counters *counters_of(const struct hf_server *server)
{
        return &server->area->events.counters;
}

#define COUNTED(name, member)                                                                      \
        static uint64_t name(struct hf_server *server)                                             \
        {                                                                                          \
                return counters_of(server)->member;                                                \
        }

COUNTED(granted, events[HF_HOLDFAST_EVENT_ACQUIRED])
COUNTED(refused, events[HF_HOLDFAST_EVENT_REFUSED])
COUNTED(released, events[HF_HOLDFAST_EVENT_RELEASED])
COUNTED(queued, events[HF_HOLDFAST_EVENT_WAITING])
COUNTED(killed, events[HF_HOLDFAST_EVENT_KILLED])
COUNTED(lost, events[HF_HOLDFAST_EVENT_LOST])
COUNTED(doubted, events[HF_HOLDFAST_EVENT_DOUBTED])
COUNTED(started, events[HF_HOLDFAST_EVENT_STARTED])
COUNTED(waited, waited)
COUNTED(wait_usec, wait_usec)
COUNTED(timed_out, timed_out)
COUNTED(missed, missed)

static uint64_t owners(struct hf_server *server)
{
        return hf_table_count(server->table).owners;
}

static uint64_t locks(struct hf_server *server)
{
        return hf_table_count(server->table).locks;
}

static uint64_t names(struct hf_server *server)
{
        return hf_table_count(server->table).holds;
}

static uint64_t waiters(struct hf_server *server)
{
        uint64_t n = 0;

        for (const struct hf_set *s = NULL; (s = hf_waits_next(server, s));)
                n += s->waits;
        return n;
}

static uint64_t clients(struct hf_server *server)
{
        return server->clients[HF_SERVICE_LOCKS] - server->readers;
}

static uint64_t readers(struct hf_server *server)
{
        return server->readers;
}

static uint64_t admins(struct hf_server *server)
{
        return server->clients[HF_SERVICE_ADMIN];
}

static uint64_t listeners(struct hf_server *server)
{
        return hf_event_listeners(server);
}

static uint64_t workers(struct hf_server *server)
{
        uint64_t n = 0;

        for (size_t i = 0; i < HF_WORKERS_MAX; i++)
                n += atomic_load(&server->area->workers[i].state) != 0;
        return n;
}

static uint64_t searches(struct hf_server *server)
{
        return hf_searches_count(server);
}

static uint64_t silent(struct hf_server *server)
{
        uint64_t n = 0;

        for (size_t i = 0; i < HF_LEASES_MAX; i++)
                n += server->area->leases[i].dev && server->area->leases[i].doubted;
        return n;
}

/* Of which there is one each; what the daemon needs for itself is a few more. */
static uint64_t descriptors(struct hf_server *server)
{
        const struct hf_table_counts counts = hf_table_count(server->table);

        return counts.locks + counts.owners + server->clients[HF_SERVICE_LOCKS] +
               server->clients[HF_SERVICE_ADMIN];
}

static uint64_t client_limit(struct hf_server *server)
{
        return server->config->max_clients;
}

static const struct row rows[] = {
        {"holdfast_locks_granted", false, granted, "Locks that were granted."},
        {"holdfast_locks_refused", false, refused,
         "Requests that were refused, as somebody else had the resource."},
        {"holdfast_locks_released", false, released,
         "Locks that were given back, by their owners or at their owners' end."},
        {"holdfast_waits_begun", false, queued, "Requests that had to wait in line."},
        {"holdfast_waits_ended", false, waited, "Requests whose wait has ended."},
        {"holdfast_waits_timed_out", false, timed_out,
         "Requests whose wait has ended with nothing."},
        {"holdfast_waiting_seconds", false, wait_usec, "Time that requests have waited."},
        {"holdfast_owners_killed", false, killed,
         "Signals that were to end virtual machines for the sake of their locks."},
        {"holdfast_locks_lost", false, lost,
         "Locks that were lost with the lease of their file server."},
        {"holdfast_locks_doubted", false, doubted,
         "Locks that were in doubt, as their file server was silent."},
        {"holdfast_server_starts", false, started,
         "Server processes that began to serve: 1, and one for each upgrade, crash or kill."},
        {"holdfast_events_missed", false, missed,
         "Events that listeners were too slow to be told of."},
        {"holdfast_owners", true, owners, "Virtual machines and other owners of locks."},
        {"holdfast_locks", true, locks, "Locks that are held."},
        {"holdfast_lock_names", true, names, "Names by which they are held."},
        {"holdfast_waiters", true, waiters, "Requests that wait in line."},
        {"holdfast_clients", true, clients, "Connections to the socket for locks."},
        {"holdfast_clients_limit", true, client_limit, "Most connections to it: max_clients."},
        {"holdfast_readers", true, readers, "Connections to the read-only socket."},
        {"holdfast_admin_clients", true, admins, "Connections to the admin socket."},
        {"holdfast_event_listeners", true, listeners, "Connections that are told of events."},
        {"holdfast_workers_busy", true, workers, "Worker processes that wait for a filesystem."},
        {"holdfast_searches", true, searches,
         "Refused requests for which the foreign holder is being looked for."},
        {"holdfast_filesystems_silent", true, silent,
         "Filesystems whose server does not answer, so that locks on them are in danger."},
        {"holdfast_descriptors", true, descriptors,
         "Descriptors of locks, owners and connections."},
};

_Static_assert(HF_ARRAY_LEN(rows) <= HF_HOLDFAST_PAGE_MAX, "they fit into one answer");

void hf_metrics_answer(struct hf_session *session)
{
        struct hf_holdfast_metric metrics[HF_ARRAY_LEN(rows)];
        struct hf_holdfast_metrics_ret ret = {
                .metrics = {.metrics_len = HF_ARRAY_LEN(rows), .metrics_val = metrics}};

        for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++)
                metrics[i] = (struct hf_holdfast_metric){
                        .name = (char *)(uintptr_t)rows[i].name,
                        .gauge = rows[i].gauge,
                        .value = rows[i].value(session->server),
                        .help = (char *)(uintptr_t)rows[i].help,
                };
        hf_session_answer(session, (xdrproc_t)xdr_hf_holdfast_metrics_ret, &ret);
}
