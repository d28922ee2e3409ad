/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What stands against leaving, and what virtlockd is told where nothing does. */
#include "daemon/leaving.h"

#include "base/cleanup.h"
#include "base/process.h"
#include "daemon/area.h"
#include "daemon/work-private.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

__attribute__((format(printf, 2, 3))) static void add(struct hf_leaving_reasons *reasons,
                                                      const char *format, ...)
{
        size_t used = strlen(reasons->text), room = sizeof(reasons->text) - used;
        char text[512];
        va_list args;

        va_start(args, format);
        (void)vsnprintf(text, sizeof(text), format, args);
        va_end(args);
        /* Room for the words that there is more. */
        if (strlen(text) + 64 < room)
                (void)snprintf(reasons->text + used, room, "%s%s", reasons->n ? "; " : "", text);
        else if (!strstr(reasons->text, "; and more"))
                (void)snprintf(reasons->text + used, room, "; and more of the kind");
        reasons->n++;
}

/* A client of virtlockd's sockets. */
static bool is_virtlockds(const struct hf_session *session)
{
        return !strncmp(session->listener->name, "virtlockd", strlen("virtlockd"));
}

static bool is_at_rest(const struct hf_session *session)
{
        return session->state == HF_SESSION_READING &&
               hf_exchange_received(&session->exchange) == 0 &&
               !hf_exchange_tells(&session->exchange);
}

/* ---- the daemon ---- */

static void look_at_daemon(struct hf_server *server, struct hf_leaving_reasons *reasons)
{
        const struct hf_keeper *keeper = server->works->keeper;
        bool serves = false;

        for (uint32_t i = 0; i < server->area->n_listeners; i++)
                serves |= !strcmp(server->listeners[i].name, "virtlockd.socket");
        if (!server->leaving_place || getenv("HOLDFAST_RUN_DIR"))
                add(reasons, "this daemon's files are not where virtlockd looks for them "
                             "(HOLDFAST_RUN_DIR)");
        if (!serves)
                add(reasons, "it does not serve virtlockd's socket");
        if (!keeper || hf_keeper_supervisor_fd(keeper) < 0 ||
            hf_process_pidfd_is_dead(hf_keeper_supervisor_fd(keeper)) != 0)
                add(reasons, "it has no supervisor");
}

static void look_at_workers(struct hf_server *server, struct hf_leaving_reasons *reasons)
{
        for (int i = 0; i < HF_WORKERS_MAX; i++) {
                const struct hf_worker *worker = hf_worker_at(server->works, i);

                if (hf_worker_state(worker) == HF_WORKER_NONE || worker->apart)
                        continue;
                add(reasons, "a lock is being given back or looked after on a filesystem that has "
                             "not answered yet");
                reasons->busy++;
                break;
        }
}

/* ---- clients ---- */

static void look_at_session(const struct hf_session *session, struct hf_leaving_reasons *reasons)
{
        if (session->ticket) {
                add(reasons, "pid %d waits for a lock", (int)session->peer_pid);
        } else if (is_virtlockds(session) && !is_at_rest(session)) {
                add(reasons, "a request of pid %d is not done with", (int)session->peer_pid);
                reasons->busy++;
        } else if (is_virtlockds(session) && session->client) {
                add(reasons, "pid %d stands for itself, which virtlockd does not know",
                    (int)session->peer_pid);
        }
}

/* ---- owners and locks ---- */

static const char *name_of(struct hf_server *server, const struct hf_owner *owner)
{
        const char *name = hf_table_string(server->table, owner->name);

        return *name ? name : "an owner without a name";
}

/* Of each VM one word, which is enough to be against it. */
static const char *why_owner(const struct hf_owner *owner, bool connected)
{
        if (owner->client)
                return "is no VM of virtlockd's: a program stands for itself";
        if (owner->state == HF_OWNER_CARRIED)
                return "has ended, and another process has its connection, which virtlockd would "
                       "not know";
        if (owner->state != HF_OWNER_ALIVE || owner->leaving)
                return "is being ended";
        if (owner->acted & HF_ACTED_PAUSED)
                return "is paused by this daemon, which would continue it";
        if (!connected)
                return "has no connection to virtlockd's socket, which would not learn of its end";
        return NULL;
}

static const char *why_lock(struct hf_server *server, const struct hf_lock *lock)
{
        const struct hf_hold *first = hf_table_hold(server->table, lock->first_hold);

        if (lock->flags & HF_LOCK_METADATA)
                return "is a lock of metadata, which virtlockd has not";
        if (lock->flags & HF_LOCK_DUPLICATED)
                return "is carried by the VM itself (holdfast run, or Holdfast's driver), so that "
                       "virtlockd could not free it";
        if (lock->flags & HF_LOCK_UNSAFE)
                return "is lost, or may be, with the lease of its file server";
        if (lock->flags & HF_LOCK_RELEASING)
                return "is just being given back";
        for (uint32_t i = first->next_in_lock; i; i = hf_table_hold(server->table, i)->next_in_lock)
                if (hf_table_hold(server->table, i)->name_hash != first->name_hash ||
                    hf_table_hold(server->table, i)->lockspace != first->lockspace)
                        return "is held by two names, of which virtlockd would free both with one";
        return NULL;
}

static void look_at_owners(struct hf_server *server, const bool *connected,
                           struct hf_leaving_reasons *reasons)
{
        for (uint32_t i = 0; (i = hf_table_next_owner(server->table, i));) {
                const struct hf_owner *owner = hf_table_owner(server->table, i);
                const char *why = owner->holds ? why_owner(owner, connected[i]) : NULL;

                if (why)
                        add(reasons, "%s (pid %d) %s", name_of(server, owner), (int)owner->pid,
                            why);
        }
}

static void look_at_locks(struct hf_server *server, struct hf_leaving_reasons *reasons)
{
        for (uint32_t i = 0; (i = hf_table_next_hold(server->table, i));) {
                const struct hf_hold *hold = hf_table_hold(server->table, i);
                const struct hf_lock *lock = hf_table_lock(server->table, hold->lock);
                const struct hf_owner *owner = hf_table_owner(server->table, hold->owner);
                const char *why = lock->first_hold == i ? why_lock(server, lock) : NULL;

                if (!why)
                        continue;
                add(reasons, "%s of %s (pid %d) %s", hf_table_string(server->table, hold->name),
                    name_of(server, owner), (int)owner->pid, why);
                reasons->busy += !!(lock->flags & HF_LOCK_RELEASING);
        }
}

void hf_leaving_look(struct hf_server *server, const struct hf_session *asking,
                     struct hf_leaving_reasons *ret)
{
        hf_cleanup_free bool *connected = calloc(HF_TABLE_OWNERS_MAX, sizeof(*connected));

        *ret = (struct hf_leaving_reasons){0};
        look_at_daemon(server, ret);
        if (!connected) {
                add(ret, "out of memory");
                return;
        }
        for (const struct hf_session *s = server->sessions; s; s = s->next) {
                if (s->own && s->owner && is_virtlockds(s) && !s->client)
                        connected[s->owner] = true;
                if (s != asking)
                        look_at_session(s, ret);
        }
        look_at_owners(server, connected, ret);
        look_at_locks(server, ret);
        look_at_workers(server, ret);
}

/* ---- what virtlockd is told ---- */

static void fill_sockets(const struct hf_server *server, struct hf_stock_state *state)
{
        for (uint32_t i = 0; i < server->area->n_listeners; i++) {
                const struct hf_listener *listener = &server->listeners[i];

                if (strncmp(listener->name, "virtlockd", strlen("virtlockd")) != 0)
                        continue;
                state->sockets[state->n_sockets++] = (struct hf_stock_socket){
                        .fd = listener->fd, .kind = listener->kind, .removes = *listener->path};
        }
}

static int fill_clients(const struct hf_server *server, const struct hf_session *asking,
                        struct hf_stock_state *state)
{
        size_t n = server->clients[HF_SERVICE_LOCKS] + server->clients[HF_SERVICE_ADMIN];

        state->clients = calloc(n + 1, sizeof(*state->clients));
        for (const struct hf_session *s = server->sessions; state->clients && s; s = s->next) {
                struct hf_stock_client *client = &state->clients[state->n_clients];

                if (!is_virtlockds(s) || s->refused || s->fd < 0 || s == asking)
                        continue;
                *client = (struct hf_stock_client){.fd = s->fd,
                                                   .kind = s->kind,
                                                   .id = s->id,
                                                   .connected = s->connected / 1000000,
                                                   .restricted = s->restricted,
                                                   .owner_id = s->registered ? s->owner_id : 0,
                                                   .owner_pid = s->owner_pid,
                                                   .owner_name = strdup(s->owner_name)};
                memcpy(client->owner_uuid, s->owner_uuid, sizeof(client->owner_uuid));
                state->n_clients++;
                if (!client->owner_name)
                        return -ENOMEM;
        }
        return state->clients ? 0 : -ENOMEM;
}

static int fill_spaces(struct hf_server *server, struct hf_stock_state *state, size_t *ret_at)
{
        uint32_t n = hf_table_count(server->table).lockspaces;

        state->spaces = calloc(n + 1, sizeof(*state->spaces));
        if (!state->spaces)
                return -ENOMEM;
        for (uint32_t i = HF_LOCKSPACE_DEFAULT; state->n_spaces < n && i < HF_TABLE_LOCKSPACES_MAX;
             i++) {
                const char *path = hf_table_lockspace_path(server->table, i);

                /* The default one is the first; what is not in use has no path. */
                if (i != HF_LOCKSPACE_DEFAULT && hf_table_find_lockspace(server->table, path) != i)
                        continue;
                ret_at[i] = state->n_spaces;
                state->spaces[state->n_spaces++].directory = strdup(path);
                if (!state->spaces[state->n_spaces - 1].directory)
                        return -ENOMEM;
        }
        return 0;
}

static int fill_lock(struct hf_server *server, const struct hf_lock *lock, const size_t *spaces,
                     struct hf_stock_lock *ret)
{
        const struct hf_hold *hold = hf_table_hold(server->table, lock->first_hold);

        *ret = (struct hf_stock_lock){
                .space = spaces[hold->lockspace],
                .name = strdup(hf_table_string(server->table, hold->name)),
                .fd = lock->fd,
                .shared = lock->flags & HF_LOCK_SHARED,
                .autocreate = lock->flags & HF_LOCK_AUTOCREATE,
                .owners = calloc(lock->holds + 1, sizeof(*ret->owners)),
        };
        if (!ret->name || !ret->owners)
                return -ENOMEM;
        for (uint32_t i = lock->first_hold; i && ret->n_owners < lock->holds;
             i = hf_table_hold(server->table, i)->next_in_lock)
                ret->owners[ret->n_owners++] =
                        hf_table_owner(server->table, hf_table_hold(server->table, i)->owner)->pid;
        return 0;
}

static int fill_locks(struct hf_server *server, const size_t *spaces, struct hf_stock_state *state)
{
        int r = 0;

        state->locks = calloc(hf_table_count(server->table).locks + 1, sizeof(*state->locks));
        if (!state->locks)
                return -ENOMEM;
        for (uint32_t i = 0; r >= 0 && (i = hf_table_next_hold(server->table, i));) {
                const struct hf_lock *lock = hf_table_lock(server->table,
                                                           hf_table_hold(server->table, i)->lock);

                if (lock->first_hold == i)
                        r = fill_lock(server, lock, spaces, &state->locks[state->n_locks++]);
        }
        return r;
}

int hf_leaving_fill(struct hf_server *server, const struct hf_session *asking,
                    struct hf_stock_state *ret)
{
        hf_cleanup_stock struct hf_stock_state state = {.magic = server->pids[0]};
        hf_cleanup_free size_t *spaces = calloc(HF_TABLE_LOCKSPACES_MAX, sizeof(*spaces));
        int r = spaces ? 0 : -ENOMEM;

        state.services[HF_SERVICE_LOCKS].max_clients = server->config->max_clients;
        state.services[HF_SERVICE_ADMIN].max_clients = server->config->admin_max_clients;
        for (int kind = 0; kind < HF_SERVICE_KINDS; kind++)
                state.services[kind].next_client_id = server->area->next_client_id[kind] + 1;
        fill_sockets(server, &state);
        if (r >= 0)
                r = fill_clients(server, asking, &state);
        if (r >= 0)
                r = fill_spaces(server, &state, spaces);
        if (r >= 0)
                r = fill_locks(server, spaces, &state);
        if (r < 0)
                return r;
        *ret = state;
        state = (struct hf_stock_state){0};
        return 0;
}
