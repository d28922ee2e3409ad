/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/takeover.h"

#include "base/cleanup.h"
#include "base/log.h"
#include "base/process.h"
#include "base/socket.h"
#include "daemon/area.h"
#include "daemon/listener.h"
#include "daemon/owner.h"
#include "daemon/session.h"
#include "daemon/sound.h"
#include "daemon/work-private.h"
#include "storage/behind.h"
#include "storage/posix-lock.h"
#include "storage/resource.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#define MODULE "daemon.takeover"

/* Through what all this came, as it is shown. */
#define VIA "virtlockd"

/* Of an owner that has ended already: no process begins that early. */
#define START_OF_NONE 1

struct takeover {
        struct hf_server *server;
        const struct hf_stock_state *stock;
        struct hf_takeover done;
        uint32_t *lockspaces; /* in the table, by number in the state */
};

void hf_takeover_keep_open(const struct hf_stock_state *stock, bool stays)
{
        int flags = stays ? 0 : FD_CLOEXEC;

        for (size_t i = 0; i < stock->n_sockets; i++)
                (void)fcntl(stock->sockets[i].fd, F_SETFD, flags);
        for (size_t i = 0; i < stock->n_clients; i++)
                (void)fcntl(stock->clients[i].fd, F_SETFD, flags);
        for (size_t i = 0; i < stock->n_locks; i++)
                (void)fcntl(stock->locks[i].fd, F_SETFD, flags);
}

/* ---- owners ---- */

/* Who registered a pid: its own connection says it best. NULL: nobody. */
static const struct hf_stock_client *client_of(const struct takeover *t, pid_t pid)
{
        const struct hf_stock_client *found = NULL;

        for (size_t i = 0; i < t->stock->n_clients; i++) {
                const struct hf_stock_client *client = &t->stock->clients[i];
                struct hf_peer peer;

                if (client->kind != HF_SERVICE_LOCKS || client->owner_pid != pid)
                        continue;
                found = client;
                if (hf_socket_peer(client->fd, &peer, NULL) >= 0 && peer.pid == pid)
                        break;
        }
        return found;
}

/*
 * A process that has ended is an owner all the same, whose end is learned of at once: what then
 * becomes of its locks is for departure.h.
 */
static int open_process(pid_t pid, int *ret_pidfd, struct hf_process *ret)
{
        int r = hf_process_open(pid, ret_pidfd, ret, NULL);

        if (r != -ESRCH)
                return r;
        *ret = (struct hf_process){.pid = pid, .start = START_OF_NONE};
        *ret_pidfd = eventfd(1, EFD_CLOEXEC);
        return *ret_pidfd < 0 ? -errno : 0;
}

static int get_owner(struct takeover *t, pid_t pid, uint32_t *ret)
{
        static const uint8_t no_uuid[16];
        struct hf_server *server = t->server;
        const struct hf_stock_client *client;
        hf_cleanup_fd int pidfd = -1;
        struct hf_owner_info info;
        struct hf_process process;
        int r = open_process(pid, &pidfd, &process);

        if (r < 0)
                return r;
        *ret = hf_table_find_owner(server->table, pid, process.start);
        if (*ret)
                return 0;
        client = client_of(t, pid);
        info = (struct hf_owner_info){
                .pid = pid,
                .start = process.start,
                .since = client ? client->connected * 1000000 : hf_server_wall_clock(server),
                .uuid = client ? client->owner_uuid : no_uuid,
                .name = client ? client->owner_name : process.comm,
                .via = VIA,
                .id = client ? client->owner_id : 0,
        };
        t->done.vms++;
        return hf_owner_watch(server, &info, &pidfd, ret);
}

/* ---- locks ---- */

static void lost(struct takeover *t, const struct hf_stock_lock *lock, const char *why)
{
        pid_t pid = lock->n_owners ? lock->owners[0] : 0;
        const struct hf_stock_client *client = client_of(t, pid);

        t->done.lost++;
        hf_log(HF_LOG_ERROR, MODULE, "%s (pid %d): %s is noted as its lock by virtlockd, and %s",
               client ? client->owner_name : "a VM", (int)pid, lock->name, why);
}

/*
 * Sees to it that the descriptor has the lock, and says as what (ret_flags). A lock that virtlockd
 * had lost on the way, as it loses one of two names of a file, is taken where it is free.
 */
static int check_lock(const struct hf_stock_lock *lock, bool posix_is_kept, uint32_t *ret_flags)
{
        enum hf_posix_lock has;
        int r = hf_posix_lock_of(lock->fd, &has);

        *ret_flags = (lock->shared ? HF_LOCK_SHARED : 0) |
                     (lock->autocreate ? HF_LOCK_AUTOCREATE : 0);
        /*
         * An OFD lock, as one that was ours once, or one that is free; or a POSIX lock that the
         * kernel shows with the other of two descriptors of the file: to set it anew changes
         * nothing.
         */
        if (r >= 0 && has == HF_POSIX_NONE) {
                r = hf_resource_prove(lock->fd, lock->shared);
                if (r != -EAGAIN)
                        return r;
                r = hf_posix_prove(lock->fd, lock->shared);
                has = lock->shared ? HF_POSIX_SHARED : HF_POSIX_EXCLUSIVE;
        }
        if (r < 0)
                return r;
        if (has == HF_POSIX_EXCLUSIVE && !lock->shared && posix_is_kept) {
                *ret_flags |= HF_LOCK_POSIX;
                return 0;
        }
        return hf_posix_to_ofd(lock->fd, lock->shared);
}

static int enter_lock(struct takeover *t, const struct hf_stock_lock *lock,
                      const struct hf_thing *file, uint32_t *ret)
{
        bool stands_in = lock->space != 0;
        const struct hf_thing none = {HF_THING_NONE, 0, 0};
        uint32_t flags;
        int r = check_lock(lock, t->server->works->keeper, &flags);

        if (r < 0)
                return r;
        if (stands_in && hf_behind_is_hash(lock->name))
                flags |= HF_LOCK_SEARCHED;
        t->server->has_posix |= flags & HF_LOCK_POSIX;
        return hf_table_add_lock(t->server->table, file, stands_in ? &none : file, lock->fd, flags,
                                 ret);
}

static int add_hold(struct takeover *t, const struct hf_stock_lock *lock, uint32_t index, pid_t pid)
{
        struct hf_table *table = t->server->table;
        struct hf_hold_info info = {
                .lock = index,
                .lockspace = t->lockspaces[lock->space],
                .name = lock->name,
                .via = VIA,
        };
        uint32_t hold;
        int r = get_owner(t, pid, &info.owner);

        if (r < 0)
                return r;
        info.since = hf_table_owner(table, info.owner)->since;
        r = hf_table_add_hold(table, &info, &hold);
        if (r >= 0)
                hf_table_claim_hold(table, hold);
        return r;
}

/* Each owner once: an owner has a name or has not. */
static int add_holds(struct takeover *t, const struct hf_stock_lock *lock, uint32_t index)
{
        int r = 0;

        for (size_t i = 0; r >= 0 && i < lock->n_owners; i++) {
                size_t before = 0;

                while (lock->owners[before] != lock->owners[i])
                        before++;
                if (before == i && lock->owners[i] > 0)
                        r = add_hold(t, lock, index, lock->owners[i]);
        }
        return r;
}

/*
 * Two names of one file: virtlockd has granted it twice. Both hold the one lock that there is; the
 * descriptor of the second name stays open, as closing it could be the end of that lock.
 */
static void say_twin(struct takeover *t, const struct hf_stock_lock *lock, uint32_t index)
{
        struct hf_table *table = t->server->table;
        const struct hf_lock *first = hf_table_lock(table, index);
        const struct hf_hold *hold = hf_table_hold(table, first->first_hold);

        (void)fcntl(lock->fd, F_SETFD, 0);
        hf_log(HF_LOG_ERROR, MODULE,
               "virtlockd had granted one disk twice: %s to %s, and as %s to pid %d; both go on",
               hf_table_string(table, hold->name),
               hf_table_string(table, hf_table_owner(table, hold->owner)->name), lock->name,
               lock->n_owners ? (int)lock->owners[0] : 0);
}

/* Of two descriptors the lock's is the one by which the kernel knows it. */
static void choose_descriptor(struct takeover *t, const struct hf_stock_lock *lock, uint32_t index)
{
        struct hf_table *table = t->server->table;
        struct hf_lock *first = hf_table_lock(table, index);
        enum hf_posix_lock has;

        if (!(first->flags & HF_LOCK_POSIX) || hf_posix_lock_of(lock->fd, &has) < 0 ||
            has != HF_POSIX_EXCLUSIVE)
                return;
        (void)fcntl(first->fd, F_SETFD, 0);
        (void)fcntl(lock->fd, F_SETFD, FD_CLOEXEC);
        first->fd = lock->fd;
        for (uint32_t i = first->first_hold; i; i = hf_table_hold(table, i)->next_in_lock)
                hf_table_claim_hold(table, i);
}

static bool is_owned(const struct hf_stock_lock *lock)
{
        for (size_t i = 0; i < lock->n_owners; i++)
                if (lock->owners[i] > 0)
                        return true;
        return false;
}

static int take_lock(struct takeover *t, const struct hf_stock_lock *lock, struct hf_error *err)
{
        struct hf_thing file;
        uint32_t index;
        int r = is_owned(lock) ? hf_resource_of_fd(lock->fd, &file) : -ESRCH;

        if (r < 0) {
                lost(t, lock, r == -ESRCH ? "has no owner" : "is neither a file nor a disk");
                return 0;
        }
        index = hf_table_find_file(t->server->table, &file, 0);
        if (index) {
                say_twin(t, lock, index);
                choose_descriptor(t, lock, index);
        } else {
                r = enter_lock(t, lock, &file, &index);
        }
        if (r == -EAGAIN || r == -EBADF) {
                lost(t, lock, r == -EBADF ? "is not open" : "is somebody else's");
                return 0;
        }
        if (r >= 0)
                r = add_holds(t, lock, index);
        if (r < 0)
                return hf_error_sys(err, -r, "cannot note the lock of %s", lock->name);
        t->done.locks++;
        return 0;
}

static int take_spaces(struct takeover *t, struct hf_error *err)
{
        struct hf_table *table = t->server->table;
        int r = 0;

        t->lockspaces[0] = HF_LOCKSPACE_DEFAULT;
        for (size_t i = 1; i < t->stock->n_spaces; i++) {
                const char *path = t->stock->spaces[i].directory;

                t->lockspaces[i] = hf_table_find_lockspace(table, path);
                if (t->lockspaces[i])
                        continue;
                r = hf_table_add_lockspace(table, path, &t->lockspaces[i]);
                if (r < 0)
                        return hf_error_sys(err, -r, "cannot note the lockspace %s", path);
                hf_table_claim_lockspace(table, t->lockspaces[i]);
        }
        return 0;
}

/* ---- clients ---- */

static const struct hf_listener *listener_of(struct hf_server *server, enum hf_service_kind kind)
{
        for (uint32_t i = 0; i < server->area->n_listeners; i++)
                if (server->listeners[i].kind == kind)
                        return &server->listeners[i];
        return NULL;
}

/* A client's own connection is bound to its owner, which may have ended by now. */
static void bind_own(struct takeover *t, struct hf_session *session)
{
        uint32_t owner;

        if (session->owner_pid <= 0 || session->peer_pid != session->owner_pid ||
            get_owner(t, session->owner_pid, &owner) < 0)
                return;
        session->owner = owner;
        session->own = true;
        hf_owner_count(t->server, owner, true);
}

static void fill_session(struct hf_session *session, const struct hf_stock_client *client)
{
        session->id = client->id;
        session->connected = client->connected * 1000000;
        session->restricted = client->restricted;
        session->registered = client->owner_id != 0;
        session->owner_pid = client->owner_pid;
        session->owner_id = client->owner_id;
        memcpy(session->owner_uuid, client->owner_uuid, sizeof(session->owner_uuid));
        (void)snprintf(session->owner_name, sizeof(session->owner_name), "%s",
                       client->owner_name ? client->owner_name : "");
        (void)snprintf(session->via, sizeof(session->via), VIA);
        session->check = hf_session_check(session);
}

static int take_client(struct takeover *t, const struct hf_stock_client *client,
                       struct hf_error *err)
{
        const struct hf_listener *listener = listener_of(t->server, client->kind);
        uint64_t *next = &t->server->area->next_client_id[client->kind];
        struct hf_session *session;
        struct hf_peer peer;
        int r = hf_socket_peer(client->fd, &peer, NULL);

        if (r < 0 || !listener) {
                hf_log(HF_LOG_ERROR, MODULE, "the client %llu of virtlockd has no connection",
                       (unsigned long long)client->id);
                return 0;
        }
        (void)fcntl(client->fd, F_SETFL, fcntl(client->fd, F_GETFL) | O_NONBLOCK);
        r = hf_session_new(listener, client->fd, &peer, false, &session);
        if (r < 0)
                return hf_error_sys(err, -r, "cannot serve pid %d", (int)peer.pid);
        fill_session(session, client);
        if (*next < client->id)
                *next = client->id;
        if (session->registered)
                bind_own(t, session);
        t->done.clients++;
        return 0;
}

/* ---- all of it ---- */

static int take_all(struct takeover *t, struct hf_error *err)
{
        const struct hf_stock_state *stock = t->stock;
        int r = take_spaces(t, err);

        for (size_t i = 0; r >= 0 && i < stock->n_sockets; i++)
                r = hf_listeners_take(t->server, &stock->sockets[i], err);
        for (size_t i = 0; r >= 0 && i < stock->n_locks; i++)
                r = take_lock(t, &stock->locks[i], err);
        for (size_t i = 0; r >= 0 && i < stock->n_clients; i++)
                r = take_client(t, &stock->clients[i], err);
        return r;
}

int hf_takeover_apply(struct hf_server *server, const struct hf_stock_state *stock,
                      struct hf_takeover *ret, struct hf_error *err)
{
        struct takeover t = {.server = server, .stock = stock};
        int r;

        t.lockspaces = calloc(stock->n_spaces, sizeof(*t.lockspaces));
        if (!t.lockspaces)
                return hf_error_sys(err, ENOMEM, "cannot take over");
        hf_takeover_keep_open(stock, false);
        r = take_all(&t, err);
        free(t.lockspaces);
        if (r >= 0)
                *ret = t.done;
        return r;
}
