/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The HOLDFAST program: what virtlockd's cannot say (rpc/holdfast.x). */
#include "daemon/holdfast-private.h"

#include "daemon/acquire.h"
#include "daemon/dispatch.h"
#include "daemon/event.h"
#include "daemon/guard.h"
#include "daemon/leaving.h"
#include "daemon/owner.h"
#include "daemon/work.h"
#include "storage/resource.h"

#include "base/cleanup.h"
#include "base/log.h"
#include "base/process.h"
#include "rpc/holdfast.h"

#include <errno.h>
#include <string.h>

#define MODULE "daemon.holdfast-program"

static int call_hello(struct hf_session *session, const void *data, struct hf_error *err)
{
        const struct hf_holdfast_hello_args *args = data;
        struct hf_holdfast_hello_ret ret = {
                .release = (char *)(uintptr_t)HF_VERSION,
                .host = session->server->host,
                .pid = (unsigned int)session->server->pids[0],
        };

        (void)err;
        (void)snprintf(session->via, sizeof(session->via), "%s", args->via);
        hf_session_answer(session, (xdrproc_t)xdr_hf_holdfast_hello_ret, &ret);
        return HF_ANSWERED;
}

static struct hf_holdfast_thing wire_thing(const struct hf_thing *thing)
{
        return (struct hf_holdfast_thing){thing->kind, thing->dev, thing->ino};
}

void hf_wire_owner(struct hf_server *server, uint32_t index, struct hf_holdfast_owner *ret)
{
        struct hf_owner *owner = hf_table_owner(server->table, index);

        *ret = (struct hf_holdfast_owner){
                .name = (char *)(uintptr_t)hf_table_string(server->table, owner->name),
                .id = owner->id,
                .pid = (unsigned int)owner->pid,
                .start = owner->start,
                .state = owner->state,
                .since = owner->since,
                .via = owner->via,
                .locks = owner->holds,
                .paused = owner->acted & HF_ACTED_PAUSED ? 1 : 0,
                .client = owner->client ? 1 : 0,
        };
        memcpy(ret->uuid, owner->uuid, sizeof(ret->uuid));
}

static unsigned int guarantee_of(struct hf_server *server, const struct hf_thing *file)
{
        struct hf_guarantee_of guarantee;

        hf_work_guarantee(server, file, &guarantee);
        return guarantee.level;
}

void hf_wire_lock(struct hf_server *server, uint32_t index, struct hf_holdfast_lock *ret)
{
        struct hf_table *table = server->table;
        struct hf_hold *hold = hf_table_hold(table, index);
        const struct hf_lock *lock = hf_table_lock(table, hold->lock);

        *ret = (struct hf_holdfast_lock){
                .lockspace = (char *)(uintptr_t)hf_table_lockspace_path(table, hold->lockspace),
                .name = (char *)(uintptr_t)hf_table_string(table, hold->name),
                .file = wire_thing(&lock->file),
                .thing = wire_thing(&lock->thing),
                .shared = lock->flags & HF_LOCK_SHARED ? 1 : 0,
                .guarantee = guarantee_of(server, &lock->file),
                .since = hold->since,
                .lease = hf_guard_lease(server, lock),
                .class = lock->flags & HF_LOCK_METADATA ? HF_HOLDFAST_METADATA
                                                        : HF_HOLDFAST_CONTENT,
        };
        hf_wire_owner(server, hold->owner, &ret->owner);
        ret->owner.via = hold->via;
}

/* A page of owners, by rising index. */
struct owner_page {
        struct hf_holdfast_owner owners[HF_HOLDFAST_PAGE_MAX];
        uint32_t indices[HF_HOLDFAST_PAGE_MAX];
        uint64_t inodes[HF_HOLDFAST_PAGE_MAX][HF_HOLDFAST_CONNECTIONS_MAX];
};

static int compare_indices(const void *a, const void *b)
{
        uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

        return x < y ? -1 : x > y;
}

/*
 * The inodes of our ends of the owners' own connections, by which their carriers
 * can be found. One walk for the whole page: there are as many sessions as owners.
 */
static void fill_connections(const struct hf_server *server, struct owner_page *page,
                             unsigned int n)
{
        for (const struct hf_session *s = server->sessions; s; s = s->next) {
                const uint32_t *at = !s->own ? NULL
                                             : bsearch(&s->owner, page->indices, n,
                                                       sizeof(*page->indices), compare_indices);
                struct hf_holdfast_owner *owner;
                struct stat st;

                if (!at)
                        continue;
                owner = &page->owners[at - page->indices];
                owner->connections.connections_val = page->inodes[at - page->indices];
                if (owner->connections.connections_len < HF_HOLDFAST_CONNECTIONS_MAX &&
                    fstat(s->fd, &st) == 0)
                        owner->connections
                                .connections_val[owner->connections.connections_len++] = st.st_ino;
        }
}

/* Before its connections are known: with as many as there may be. */
static size_t owner_size(const struct hf_holdfast_owner *owner)
{
        return xdr_sizeof((xdrproc_t)xdr_hf_holdfast_owner, (void *)(uintptr_t)owner) +
               HF_HOLDFAST_CONNECTIONS_MAX * sizeof(uint64_t);
}

static size_t lock_size(const struct hf_holdfast_lock *lock)
{
        return xdr_sizeof((xdrproc_t)xdr_hf_holdfast_lock, (void *)(uintptr_t)lock);
}

static int call_list_owners(struct hf_session *session, const void *data, struct hf_error *err)
{
        const struct hf_holdfast_list_args *args = data;
        struct hf_server *server = session->server;
        struct owner_page page;
        struct hf_holdfast_list_owners_ret ret = {.owners.owners_val = page.owners};
        uint32_t i = args->cursor;
        size_t size = 0;

        (void)err;
        while ((i = hf_table_next_owner(server->table, i))) {
                unsigned int n = ret.owners.owners_len++;

                page.indices[n] = i;
                hf_wire_owner(server, i, &page.owners[n]);
                size += owner_size(&page.owners[n]);
                if (size > HF_PAGE_FULL || ret.owners.owners_len == HF_HOLDFAST_PAGE_MAX) {
                        ret.next = hf_table_next_owner(server->table, i) ? i : 0;
                        break;
                }
        }
        fill_connections(server, &page, ret.owners.owners_len);
        hf_session_answer(session, (xdrproc_t)xdr_hf_holdfast_list_owners_ret, &ret);
        return HF_ANSWERED;
}

uint32_t hf_wire_next_hold(struct hf_server *server, uint32_t after)
{
        uint32_t i = after;

        while ((i = hf_table_next_hold(server->table, i)) &&
               !hf_table_hold(server->table, i)->check)
                ;
        return i;
}

static int call_list_locks(struct hf_session *session, const void *data, struct hf_error *err)
{
        const struct hf_holdfast_list_args *args = data;
        struct hf_server *server = session->server;
        struct hf_holdfast_lock locks[HF_HOLDFAST_PAGE_MAX];
        struct hf_holdfast_list_locks_ret ret = {.locks.locks_val = locks};
        uint32_t i = args->cursor;
        size_t size = 0;

        (void)err;
        while ((i = hf_wire_next_hold(server, i))) {
                hf_wire_lock(server, i, &locks[ret.locks.locks_len]);
                size += lock_size(&locks[ret.locks.locks_len++]);
                if (size > HF_PAGE_FULL || ret.locks.locks_len == HF_HOLDFAST_PAGE_MAX) {
                        ret.next = hf_wire_next_hold(server, i) ? i : 0;
                        break;
                }
        }
        hf_session_answer(session, (xdrproc_t)xdr_hf_holdfast_list_locks_ret, &ret);
        return HF_ANSWERED;
}

/* Whether a hold concerns the thing, or carries the name, that is asked for. */
static bool concerns(struct hf_server *server, uint32_t index, const char *path,
                     const struct hf_thing *thing)
{
        const struct hf_hold *hold = hf_table_hold(server->table, index);
        const struct hf_lock *lock = hf_table_lock(server->table, hold->lock);
        const char *lockspace = hf_table_lockspace_path(server->table, hold->lockspace);
        size_t len = strlen(lockspace);

        if (hf_thing_same(&lock->file, thing) || hf_thing_same(&lock->thing, thing))
                return true;
        /* By its name only where the file is not known: it may be another one there. */
        if ((lock->flags & HF_LOCK_METADATA) && thing->kind == HF_THING_FILE)
                return lock->file.dev == thing->dev && lock->file.ino == thing->ino;
        if (len == 0)
                return !strcmp(hf_table_string(server->table, hold->name), path);
        return !strncmp(path, lockspace, len) && path[len] == '/' &&
               !strcmp(hf_table_string(server->table, hold->name), path + len + 1);
}

static int call_who(struct hf_session *session, const void *data, struct hf_error *err)
{
        const struct hf_holdfast_who_args *args = data;
        struct hf_server *server = session->server;
        struct hf_thing thing = {args->thing.kind, args->thing.dev, args->thing.ino};
        struct hf_holdfast_lock locks[HF_HOLDFAST_PAGE_MAX];
        struct hf_holdfast_who_ret ret = {.locks.locks_val = locks};
        size_t size = 0;

        (void)err;
        for (uint32_t i = args->cursor; (i = hf_wire_next_hold(server, i));) {
                if (!concerns(server, i, args->path, &thing))
                        continue;
                hf_wire_lock(server, i, &locks[ret.locks.locks_len]);
                size += lock_size(&locks[ret.locks.locks_len++]);
                if (size > HF_PAGE_FULL || ret.locks.locks_len == HF_HOLDFAST_PAGE_MAX) {
                        ret.next = i;
                        break;
                }
        }
        hf_session_answer(session, (xdrproc_t)xdr_hf_holdfast_who_ret, &ret);
        return HF_ANSWERED;
}

/* The hold that an acquire gives: one that is being claimed, or one that the owner had; 0: none. */
static uint32_t given(const struct hf_session *session, const struct hf_acquired *acquired)
{
        if (acquired->status >= 0 && acquired->had)
                return acquired->mine;
        return session->intent.kind == HF_INTENT_CLAIM_HOLD ? session->intent.index : 0;
}

/*
 * A duplicate of the lock that is being granted, or was, goes to its owner, who then holds
 * it without us. Of a shared lock in a file that goes with the lock the descriptor
 * is open for writing, which is more than a sharer is to have.
 */
static void attach_descriptor(struct hf_session *session, const struct hf_acquired *acquired)
{
        uint32_t hold = given(session, acquired);
        struct hf_lock *lock;

        if (!session->wants_descriptor || !session->own || !hold)
                return;
        lock = hf_table_lock(session->server->table,
                             hf_table_hold(session->server->table, hold)->lock);
        if ((lock->flags & HF_LOCK_SHARED) && (lock->flags & HF_LOCK_AUTOCREATE))
                return;
        lock->flags |= HF_LOCK_DUPLICATED;
        session->attached = hold;
}

void hf_wire_record(const struct hf_record *record, struct hf_holdfast_record *ret)
{
        *ret = (struct hf_holdfast_record){
                .host = (char *)(uintptr_t)record->host,
                .name = (char *)(uintptr_t)record->vm,
                .pid = (unsigned int)record->pid,
                .via = (char *)(uintptr_t)record->via,
                .since = record->since,
                .resource = (char *)(uintptr_t)record->resource,
                .shared = record->shared ? 1 : 0,
        };
        memcpy(ret->uuid, record->uuid, sizeof(ret->uuid));
}

void hf_wire_obstacle(struct hf_server *server, uint32_t hold, const struct hf_record *record,
                      struct hf_wire_obstacle *ret)
{
        ret->holder = hold ? &ret->lock : NULL;
        if (hold)
                hf_wire_lock(server, hold, &ret->lock);
        ret->elsewhere = record ? &ret->record : NULL;
        if (record)
                hf_wire_record(record, &ret->record);
}

static void answer_acquire(struct hf_session *session, const struct hf_acquired *acquired)
{
        struct hf_holdfast_acquire_ret ret = {
                .granted = acquired->status < 0 ? HF_HOLDFAST_REFUSED
                           : acquired->had      ? HF_HOLDFAST_HAD
                                                : HF_HOLDFAST_GRANTED,
                .text = (char *)(uintptr_t)acquired->error.text,
        };
        struct hf_wire_obstacle obstacle;

        if (acquired->status < 0 && acquired->status != -EBUSY) {
                hf_session_answer_error(session, &acquired->error);
                return;
        }
        hf_wire_obstacle(session->server, acquired->status < 0 ? acquired->hold : 0,
                         acquired->elsewhere, &obstacle);
        ret.holder = obstacle.holder;
        ret.elsewhere = obstacle.elsewhere;
        if (acquired->status >= 0)
                ret.guarantee = guarantee_of(session->server, &acquired->file);
        attach_descriptor(session, acquired);
        hf_session_answer(session, (xdrproc_t)xdr_hf_holdfast_acquire_ret, &ret);
}

static int call_acquire(struct hf_session *session, const void *data, struct hf_error *err)
{
        const struct hf_holdfast_acquire_args *args = data;
        struct hf_acquire acquire = {
                .lockspace = args->path,
                .name = args->name,
                .image = args->image,
                .shared = args->flags & HF_LOCK_ACQUIRE_SHARED,
                .autocreate = args->flags & HF_LOCK_ACQUIRE_AUTOCREATE,
                .thing = {args->thing.kind, args->thing.dev, args->thing.ino},
        };

        session->wants_descriptor = args->flags & HF_HOLDFAST_ACQUIRE_DESCRIPTOR;
        return hf_acquire(session, &acquire, answer_acquire, err);
}

/* Of what it says nothing has to be committed: it may be said again. */
static int call_guard(struct hf_session *session, const void *data, struct hf_error *err)
{
        const struct hf_holdfast_guard_args *args = data;
        struct hf_table *table = session->server->table;
        int r;

        if (!session->own)
                return hf_error_set(err, EPERM, HF_ERR_OPERATION_DENIED, HF_FROM_LOCKSPACE,
                                    "only a VM's own process says what becomes of it");
        if (args->on_lost >= HF_ON_LOST_KINDS || (*args->monitor && args->monitor[0] != '/'))
                return hf_error_set(err, EINVAL, HF_ERR_INVALID_ARG, HF_FROM_LOCKSPACE,
                                    "no action for a lost lock has the number %u, or \"%s\" is no "
                                    "absolute path",
                                    args->on_lost, args->monitor);
        r = hf_owner_bind(session, err);
        if (r < 0)
                return r;
        if (hf_table_set_monitor(table, session->owner, args->monitor) < 0)
                return hf_error_set(err, ENAMETOOLONG, HF_ERR_INVALID_ARG, HF_FROM_LOCKSPACE,
                                    "the path of the monitor is longer than that of any socket: %s",
                                    args->monitor);
        hf_table_owner(table, session->owner)->on_lost = (uint8_t)args->on_lost;
        return HF_DONE;
}

static int call_client(struct hf_session *session, const void *data, struct hf_error *err)
{
        const struct hf_holdfast_client_args *args = data;
        int r;

        if (session->registered && !session->client)
                return hf_error_set(err, EINVAL, HF_ERR_OPERATION_INVALID, HF_FROM_RPC,
                                    "a lock owner was registered on this connection; who stands "
                                    "for itself opens another one");
        if (args->pid && (pid_t)args->pid != session->peer_pid)
                return hf_error_set(err, EPERM, HF_ERR_OPERATION_DENIED, HF_FROM_LOCKSPACE,
                                    "pid %u did not open this connection, pid %d did; only that "
                                    "one can be named as the holder",
                                    args->pid, (int)session->peer_pid);
        (void)snprintf(session->owner_name, sizeof(session->owner_name), "%s", args->name);
        if (!*args->name)
                (void)hf_process_comm(session->peer_pid, session->owner_name,
                                      sizeof(session->owner_name));
        session->owner_id = 0;
        memcpy(session->owner_uuid, args->uuid, sizeof(session->owner_uuid));
        r = hf_owner_register_client(session, err);
        session->registered = r >= 0;
        return r < 0 ? r : HF_DONE;
}

static int call_release_all(struct hf_session *session, const void *data, struct hf_error *err)
{
        struct hf_holdfast_release_all_ret ret = {
                .released = hf_table_count(session->server->table).holds,
        };

        (void)data;
        (void)err;
        hf_log(HF_LOG_WARNING, MODULE, "pid %d asks for the release of all %u locks",
               (int)session->peer_pid, ret.released);
        hf_session_intend(session, HF_INTENT_RELEASE_ALL, 0);
        hf_session_answer(session, (xdrproc_t)xdr_hf_holdfast_release_all_ret, &ret);
        return HF_ANSWERED;
}

static int call_leave(struct hf_session *session, const void *data, struct hf_error *err)
{
        const struct hf_holdfast_leave_args *args = data;

        return hf_leaving_begin(session, args->path, args->dry_run, err);
}

static int call_events(struct hf_session *session, const void *data, struct hf_error *err)
{
        const struct hf_holdfast_events_args *args = data;

        return hf_event_listen(session, args->after, err);
}

static int call_metrics(struct hf_session *session, const void *data, struct hf_error *err)
{
        (void)data;
        (void)err;
        hf_metrics_answer(session);
        return HF_ANSWERED;
}

/* Answered to who may only look, but not to a VM, whose connection may be more than its user's. */
#define LOOKS (HF_GUARD_READ_ONLY_OK | HF_GUARD_UNRESTRICTED)

#define ARGS(type, known)                                                                          \
        .decode = (xdrproc_t)xdr_##type, .args_size = sizeof(struct type),                         \
        .flags_at = offsetof(struct type, flags), .flags = (known)

static const struct hf_procedure procedures[] = {
        {HF_HOLDFAST_HELLO, "hello", ARGS(hf_holdfast_hello_args, 0),
         .guards = HF_GUARD_READ_ONLY_OK, .call = call_hello},
        {HF_HOLDFAST_ACQUIRE, "acquire",
         ARGS(hf_holdfast_acquire_args,
              HF_LOCK_ACQUIRE_SHARED | HF_LOCK_ACQUIRE_AUTOCREATE | HF_HOLDFAST_ACQUIRE_DESCRIPTOR),
         .guards = HF_GUARD_UNRESTRICTED | HF_GUARD_REGISTERED, .call = call_acquire},
        {HF_HOLDFAST_LIST_OWNERS, "list-owners", ARGS(hf_holdfast_list_args, 0), .guards = LOOKS,
         .call = call_list_owners},
        {HF_HOLDFAST_LIST_LOCKS, "list-locks", ARGS(hf_holdfast_list_args, 0), .guards = LOOKS,
         .call = call_list_locks},
        {HF_HOLDFAST_WHO, "who", ARGS(hf_holdfast_who_args, 0), .guards = LOOKS, .call = call_who},
        {HF_HOLDFAST_RELEASE_ALL, "release-all", ARGS(hf_holdfast_release_all_args, 0),
         .guards = HF_GUARD_UNRESTRICTED, .call = call_release_all},
        {HF_HOLDFAST_EVENTS, "events", ARGS(hf_holdfast_events_args, 0), .guards = LOOKS,
         .call = call_events},
        {HF_HOLDFAST_METRICS, "metrics", .flags_at = -1, .guards = LOOKS, .call = call_metrics},
        {HF_HOLDFAST_GUARD, "guard", ARGS(hf_holdfast_guard_args, 0),
         .guards = HF_GUARD_UNRESTRICTED | HF_GUARD_REGISTERED, .call = call_guard},
        {HF_HOLDFAST_ACQUIRE_SET, "acquire-set",
         ARGS(hf_holdfast_acquire_set_args, HF_HOLDFAST_SET_PROGRESS), .takes_args = true,
         .guards = HF_GUARD_UNRESTRICTED | HF_GUARD_REGISTERED, .call = hf_call_acquire_set},
        {HF_HOLDFAST_RELEASE_SET, "release-set", ARGS(hf_holdfast_release_set_args, 0),
         .guards = HF_GUARD_UNRESTRICTED | HF_GUARD_REGISTERED, .call = hf_call_release_set},
        {HF_HOLDFAST_LIST_WAITERS, "list-waiters", ARGS(hf_holdfast_list_args, 0), .guards = LOOKS,
         .call = hf_call_list_waiters},
        {HF_HOLDFAST_LEAVE, "leave", .decode = (xdrproc_t)xdr_hf_holdfast_leave_args,
         .args_size = sizeof(struct hf_holdfast_leave_args), .flags_at = -1,
         .guards = HF_GUARD_UNRESTRICTED, .call = call_leave},
        {HF_HOLDFAST_CLIENT, "client", ARGS(hf_holdfast_client_args, 0),
         .guards = HF_GUARD_UNRESTRICTED, .call = call_client},
};

const struct hf_program hf_holdfast_program = {
        .number = HF_HOLDFAST_PROGRAM,
        .version = HF_HOLDFAST_VERSION,
        .kind = HF_SERVICE_LOCKS,
        .domain = HF_FROM_RPC,
        .procedures = procedures,
        .n = HF_ARRAY_LEN(procedures),
};
