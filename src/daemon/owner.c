/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/owner.h"

#include "base/cleanup.h"
#include "base/process.h"
#include "daemon/area.h"
#include "daemon/departure.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>

static int on_owner_ended(sd_event_source *source, int fd, uint32_t revents, void *data)
{
        struct hf_server *server = data;

        (void)revents;
        /* The watch is found by its source: the table's indices are stable, pointers are not. */
        (void)sd_event_source_set_enabled(source, SD_EVENT_OFF);
        for (uint32_t i = hf_table_next_owner(server->table, 0); i;
             i = hf_table_next_owner(server->table, i))
                if (hf_table_owner(server->table, i)->pidfd == fd) {
                        hf_departure_owner_ended(server, i);
                        break;
                }
        return 0;
}

int hf_owner_watch(struct hf_server *server, struct hf_owner_info *info, int *pidfd, uint32_t *ret)
{
        sd_event_source *watch = NULL;
        uint32_t owner;
        int r;

        r = sd_event_add_io(server->event, &watch, *pidfd, EPOLLIN, on_owner_ended, server);
        if (r < 0)
                return r;
        info->pidfd = *pidfd;
        r = hf_table_add_owner(server->table, info, &owner);
        if (r < 0) {
                (void)sd_event_source_disable_unref(watch);
                return r;
        }
        (void)hf_steal_fd(pidfd);
        server->owner_sources[owner] = watch;
        *ret = owner;
        return 0;
}

/* The same for a record whose descriptor is none: damage there costs nobody else. */
static int watch_anew(struct hf_owner *owner)
{
        hf_cleanup_fd int pidfd = -1;
        struct hf_process process;
        int r = hf_process_open(owner->pid, &pidfd, &process, NULL);

        if (r < 0 && r != -ESRCH)
                return r;
        if (r == -ESRCH || process.start != owner->start) {
                hf_close_fd(&pidfd);
                /* It has ended: readable, as its own would be. */
                pidfd = eventfd(1, EFD_CLOEXEC);
        }
        if (pidfd < 0)
                return -errno;
        owner->pidfd = hf_steal_fd(&pidfd);
        return 0;
}

int hf_owner_adopt(struct hf_server *server, uint32_t index)
{
        struct hf_owner *owner = hf_table_owner(server->table, index);
        int r = 0;

        if (syscall(SYS_pidfd_send_signal, owner->pidfd, 0, NULL, 0) < 0 && errno == EBADF)
                r = watch_anew(owner);
        if (r < 0)
                return r;
        return sd_event_add_io(server->event, &server->owner_sources[index], owner->pidfd, EPOLLIN,
                               on_owner_ended, server);
}

void hf_owner_count(struct hf_server *server, uint32_t index, bool own)
{
        struct hf_owner *owner = hf_table_owner(server->table, index);

        owner->sessions++;
        owner->connections += own;
}

static int add_owner(struct hf_session *session, const struct hf_process *process, int *pidfd,
                     uint32_t *ret)
{
        struct hf_owner_info info = {
                .pid = process->pid,
                .start = process->start,
                .client = session->client ? ++session->server->area->next_client : 0,
                .since = hf_server_wall_clock(session->server),
                .uuid = session->owner_uuid,
                .name = session->owner_name,
                .via = session->via,
                .id = session->owner_id,
        };

        return hf_owner_watch(session->server, &info, pidfd, ret);
}

/* Through what the session acts, where it did not say so itself: its program's name. */
static void learn_via(struct hf_session *session, const struct hf_process *owner)
{
        if (*session->via)
                return;
        if (session->own)
                (void)snprintf(session->via, sizeof(session->via), "%.*s", HF_TABLE_VIA_MAX - 1,
                               owner->comm);
        else if (hf_process_comm(session->peer_pid, session->via, sizeof(session->via)) < 0)
                session->via[0] = '\0';
}

static int find_or_add(struct hf_session *session, uint32_t *ret, struct hf_error *err)
{
        hf_cleanup_fd int pidfd = -1;
        struct hf_process process;
        uint32_t owner;
        int r;

        r = session->owner_pid > 0 ? hf_process_open(session->owner_pid, &pidfd, &process, err)
                                   : -ESRCH;
        if (r == -ESRCH)
                return hf_error_set(err, ESRCH, HF_ERR_OPERATION_INVALID, HF_FROM_LOCKSPACE,
                                    "the registered owner, pid %d, is not a running process; a "
                                    "lock for it would never be freed",
                                    (int)session->owner_pid);
        if (r < 0)
                return r;
        if (session->client && process.start > session->arrived)
                return hf_error_set(err, ESRCH, HF_ERR_OPERATION_INVALID, HF_FROM_LOCKSPACE,
                                    "who opened this connection, pid %d, has ended",
                                    (int)session->owner_pid);
        learn_via(session, &process);
        owner = session->client
                        ? 0
                        : hf_table_find_owner(session->server->table, process.pid, process.start);
        if (!owner) {
                r = add_owner(session, &process, &pidfd, &owner);
                if (r < 0)
                        return hf_error_sys(err, -r, "cannot watch the owner, pid %d",
                                            (int)session->owner_pid);
        }
        *ret = owner;
        return 0;
}

static bool may_acquire(const struct hf_session *session, const struct hf_owner *owner)
{
        return !owner->leaving && (owner->state == HF_OWNER_ALIVE ||
                                   (owner->state == HF_OWNER_CARRIED && session->own));
}

int hf_owner_bind(struct hf_session *session, struct hf_error *err)
{
        struct hf_table *table = session->server->table;
        uint32_t index = 0;
        int r;

        if (!session->owner) {
                struct hf_owner *owner;

                r = find_or_add(session, &index, err);
                if (r < 0)
                        return r;
                owner = hf_table_owner(table, index);
                /* Younger than the connection: not its peer, but another process of that pid. */
                session->own = session->own && owner->start <= session->arrived;
                hf_owner_count(session->server, index, session->own);
                session->owner = index;
        }
        if (!may_acquire(session, hf_table_owner(table, session->owner)))
                return hf_error_set(err, ESRCH, HF_ERR_OPERATION_INVALID, HF_FROM_LOCKSPACE,
                                    "the registered owner, pid %d, has ended or is being ended",
                                    (int)session->owner_pid);
        return 0;
}

uint32_t hf_owner_known(struct hf_session *session)
{
        if (!session->owner && hf_owner_bind(session, NULL) < 0)
                return hf_table_find_owner(session->server->table, session->owner_pid, 0);
        return session->owner;
}

/* Undoes the binding; the owner's record is dropped if nobody needs it. */
static void unbind(struct hf_session *session)
{
        uint32_t owner = session->owner;
        bool own = session->own;

        session->owner = 0;
        session->own = false;
        if (owner)
                hf_departure_session_changed(session->server, owner, own);
}

int hf_owner_register(struct hf_session *session, pid_t pid, struct hf_error *err)
{
        bool own = pid > 0 && pid == session->peer_pid;
        int r;

        /* What holds locks by this connection stays bound to it: a new look may find it dead. */
        if (own && session->own && hf_table_owner(session->server->table, session->owner)->holds)
                return 0;
        unbind(session);
        session->owner_pid = pid;
        session->own = own;
        if (!own)
                return 0;
        r = hf_owner_bind(session, err);
        if (session->owner)
                return 0;
        session->own = false;
        /* A peer that is gone left its connection to another process, which may still speak. */
        return r == -ESRCH ? 0 : r;
}

int hf_owner_register_client(struct hf_session *session, struct hf_error *err)
{
        int r;

        if (session->client && session->owner &&
            hf_table_owner(session->server->table, session->owner)->holds)
                return 0;
        unbind(session);
        session->owner_pid = session->peer_pid;
        session->own = true;
        session->client = true;
        r = hf_owner_bind(session, err);
        if (r >= 0)
                return 0;
        unbind(session);
        session->client = false;
        return r;
}

uint32_t hf_owner_next_client(const struct hf_session *session, uint32_t after)
{
        uint64_t start;

        /* Younger than the connection: another process, of the same number. */
        if (hf_process_start(session->peer_pid, &start) < 0 || start > session->arrived)
                return 0;
        return hf_table_next_client(session->server->table, session->peer_pid, start, after);
}

void hf_owner_drop_unused(struct hf_server *server, uint32_t index)
{
        struct hf_owner *owner = hf_table_owner(server->table, index);
        int pidfd = owner->pidfd;

        if (owner->holds || owner->sessions)
                return;
        server->owner_sources[index] = sd_event_source_disable_unref(server->owner_sources[index]);
        server->owner_timers[index] = sd_event_source_disable_unref(server->owner_timers[index]);
        hf_table_remove_owner(server->table, index);
        (void)close(pidfd);
}
