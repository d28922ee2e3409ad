/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/adopt.h"

#include "base/cleanup.h"
#include "base/log.h"
#include "daemon/await.h"
#include "daemon/departure.h"
#include "daemon/guard.h"
#include "daemon/listener.h"
#include "daemon/owner.h"
#include "daemon/parking.h"
#include "daemon/release.h"
#include "daemon/sound.h"
#include "lockspace/rebuild.h"
#include "storage/resource.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>

#define MODULE "daemon.adopt"

/* Numbers of descriptors. */
struct numbers {
        int *fd;
        size_t n, room;
        bool incomplete; /* for want of memory */
};

struct hf_adoption {
        struct hf_area *area;
        struct hf_table *table;
        struct hf_rebuilt rebuilt;
        bool crashed;            /* the last server, by a fault of its own */
        uint32_t descriptors;    /* which table of them this is */
        struct numbers accepted; /* connections that were not recorded */
        struct numbers files;    /* of files, which may be locked */
        unsigned int damaged;    /* sessions */
        unsigned int closed;     /* descriptors that nobody told of */
};

static void add_number(void *data, int fd)
{
        struct numbers *numbers = data;

        if (fd < 0)
                return;
        if (numbers->n == numbers->room) {
                size_t room = numbers->room ? 2 * numbers->room : 1024;
                int *more = reallocarray(numbers->fd, room, sizeof(*more));

                if (!more) {
                        numbers->incomplete = true;
                        return;
                }
                numbers->fd = more;
                numbers->room = room;
        }
        numbers->fd[numbers->n++] = fd;
}

/* The session of a slot, or NULL. */
static struct hf_session *session_at(struct hf_area *area, uint32_t slot)
{
        struct hf_session *session = &area->slots[slot].session;

        return hf_session_is_used(session) ? session : NULL;
}

static bool is_closing(const struct hf_session *session)
{
        return hf_exchange_word(&session->exchange) & HF_SESSION_CLOSING;
}

/* Asks no filesystem, whatever it is. */
static bool is_socket(int fd)
{
        socklen_t len = sizeof(int);
        int type;

        return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0;
}

/* What a session's answer commits to is made valid, and what was only intended is forgotten. */
static void settle_session(struct hf_adoption *adoption, struct hf_session *session)
{
        hf_session_settle(session, adoption->crashed);
        hf_intent_claim(adoption->table, &session->intent);
        /* The end of a session closes its descriptor, and nothing but a file has its number then.
         */
        if (is_closing(session) && !is_socket(session->fd)) {
                session->fd = -1;
                session->check = hf_session_check(session);
        }
}

static bool has_session(void *data, uint32_t owner)
{
        return ((const bool *)data)[owner];
}

static int settle(struct hf_adoption *adoption)
{
        hf_cleanup_free bool *bound = calloc(HF_TABLE_OWNERS_MAX, sizeof(*bound));

        if (!bound)
                return -ENOMEM;
        for (uint32_t i = 0; i < adoption->area->n_touched; i++) {
                struct hf_session *session = session_at(adoption->area, i);

                if (!session)
                        continue;
                /* Its connection is like one that was accepted and not recorded then. */
                if (!hf_session_is_sound(session, adoption->area)) {
                        hf_exchange_mark(&session->exchange, 0, ~0U);
                        adoption->damaged++;
                        continue;
                }
                settle_session(adoption, session);
                bound[session->owner] = true;
        }
        hf_table_rebuild(adoption->table, has_session, bound, &adoption->rebuilt);
        return 0;
}

typedef void (*each_fn)(void *data, int fd);

static void each_of_table(struct hf_table *table, each_fn each, void *data)
{
        each(data, hf_table_fd(table));
        for (uint32_t i = 0; (i = hf_table_next_owner(table, i));)
                each(data, hf_table_owner(table, i)->pidfd);
        /* A lock with several holds more than once. */
        for (uint32_t i = 0; (i = hf_table_next_hold(table, i));)
                each(data, hf_table_lock(table, hf_table_hold(table, i)->lock)->fd);
}

/* Also those that workers use which have these descriptors: of the table of that number. */
static void each_of_area(struct hf_area *area, uint32_t descriptors, each_fn each, void *data)
{
        hf_work_each_fd(area->workers, descriptors, each, data);
        each(data, area->pid_fd);
        each(data, area->stock_pid_fd);
        each(data, area->report_fd);
        for (uint32_t i = 0; i < area->n_listeners; i++)
                each(data, area->listeners[i].fd);
        for (size_t i = 0; i < HF_ARRAY_LEN(area->lots); i++)
                if (area->lots[i].number)
                        each(data, area->lots[i].fd);
        for (uint32_t i = 0; i < area->n_touched; i++) {
                const struct hf_session *session = session_at(area, i);

                if (session)
                        each(data, session->fd);
        }
}

/* Connected by a client to a socket with a path. */
static bool is_accepted(int fd)
{
        struct sockaddr_un name, peer;
        socklen_t name_len = sizeof(name), peer_len = sizeof(peer);

        return getsockname(fd, (struct sockaddr *)&name, &name_len) == 0 &&
               name.sun_family == AF_UNIX && name_len > offsetof(struct sockaddr_un, sun_path) &&
               getpeername(fd, (struct sockaddr *)&peer, &peer_len) == 0;
}

/*
 * A lock that nobody was told of goes with its descriptor, also where others have
 * it open; that may have to wait for a filesystem, so the server will see to it.
 */
static void on_orphan(void *data, int fd)
{
        struct hf_adoption *adoption = data;
        struct hf_thing thing;

        if (is_accepted(fd)) {
                add_number(&adoption->accepted, fd);
        } else if (hf_resource_of_fd(fd, &thing) == 0) {
                add_number(&adoption->files, fd);
        } else {
                (void)close(fd);
                adoption->closed++;
        }
}

static int reconcile(struct hf_adoption *adoption, const struct hf_keeper *keeper)
{
        struct numbers kept = {0};

        each_of_area(adoption->area, adoption->descriptors, add_number, &kept);
        each_of_table(adoption->table, add_number, &kept);
        /* What is not in the list would be closed. */
        if (!kept.incomplete)
                hf_keeper_reconcile(keeper, kept.fd, kept.n, on_orphan, adoption);
        free(kept.fd);
        return kept.incomplete ? -ENOMEM : 0;
}

static bool is_crash(int status)
{
        return WIFSIGNALED(status) && (WTERMSIG(status) == SIGSEGV || WTERMSIG(status) == SIGBUS ||
                                       WTERMSIG(status) == SIGABRT || WTERMSIG(status) == SIGILL ||
                                       WTERMSIG(status) == SIGFPE || WTERMSIG(status) == SIGSYS);
}

int hf_adoption_new(const struct hf_keeper *keeper, struct hf_area *area, size_t size,
                    struct hf_adoption **ret)
{
        struct hf_adoption *adoption = calloc(1, sizeof(*adoption));
        int r;

        if (!adoption)
                return -ENOMEM;
        adoption->area = area;
        adoption->crashed = is_crash(hf_keeper_last_status(keeper));
        adoption->descriptors = hf_keeper_table(keeper);
        hf_area_set_size(area, size);
        hf_work_check(area->workers);
        r = hf_table_adopt(area->table_fd, area->table_is_kept, &adoption->table);
        if (r >= 0)
                r = settle(adoption);
        if (r >= 0)
                r = reconcile(adoption, keeper);
        if (r < 0)
                return r;
        *ret = adoption;
        return 0;
}

static void set_flags(void *data, int fd)
{
        (void)fcntl(fd, F_SETFD, *(const int *)data);
}

void hf_adoption_leave(const struct hf_keeper *keeper, struct hf_area *area, struct hf_table *table,
                       bool stays)
{
        uint32_t descriptors = hf_keeper_table(keeper);
        int flags = stays ? 0 : FD_CLOEXEC;

        each_of_area(area, descriptors, set_flags, &flags);
        each_of_table(table, set_flags, &flags);
}

void hf_adoption_free(struct hf_adoption *adoption)
{
        free(adoption->accepted.fd);
        free(adoption->files.fd);
        free(adoption);
}

struct hf_table *hf_adoption_table(const struct hf_adoption *adoption)
{
        return adoption->table;
}

static int adopt_owners(struct hf_server *server)
{
        int r = 0;

        for (uint32_t i = 0; r >= 0 && (i = hf_table_next_owner(server->table, i));)
                r = hf_owner_adopt(server, i);
        return r;
}

static int by_age(const void *a, const void *b)
{
        const struct hf_session *x = *(struct hf_session *const *)a;
        const struct hf_session *y = *(struct hf_session *const *)b;

        if (x->connected != y->connected)
                return x->connected < y->connected ? -1 : 1;
        return x->id < y->id ? -1 : x->id > y->id;
}

static int adopt_session(struct hf_server *server, struct hf_session *session)
{
        int r = hf_session_adopt(session, server);

        /* A damaged record is gone. */
        if (!hf_table_owner(server->table, session->owner)->pid)
                session->owner = 0;
        if (r >= 0 && session->owner)
                hf_owner_count(server, session->owner, session->own);
        return r;
}

/* The oldest first, as they are listed by age. */
static int adopt_sessions(struct hf_server *server)
{
        struct hf_area *area = server->area;
        hf_cleanup_free struct hf_session **sessions = calloc(area->n_touched + 1,
                                                              sizeof(*sessions));
        size_t n = 0;
        int r = sessions ? 0 : -ENOMEM;

        for (uint32_t i = 0; sessions && i < area->n_touched; i++) {
                sessions[n] = session_at(area, i);
                n += sessions[n] ? 1 : 0;
        }
        if (sessions)
                qsort(sessions, n, sizeof(*sessions), by_age);
        for (size_t i = 0; r >= 0 && i < n; i++)
                r = adopt_session(server, sessions[i]);
        return r;
}

static void give_rest(struct hf_server *server)
{
        for (uint32_t i = 0; (i = hf_table_next_hold(server->table, i));) {
                uint32_t lock = hf_table_hold(server->table, i)->lock;

                if (hf_table_lock(server->table, lock)->flags & HF_LOCK_RELEASING)
                        hf_give_again(server, lock);
        }
}

static void carry_out(struct hf_server *server)
{
        for (uint32_t i = 0; i < server->area->n_touched; i++) {
                struct hf_session *session = session_at(server->area, i);

                if (session)
                        hf_intent_carry_out(session);
        }
        for (uint32_t i = 0; i < server->area->n_touched; i++) {
                struct hf_session *session = session_at(server->area, i);

                if (session && is_closing(session))
                        hf_session_close(session);
        }
        for (uint32_t i = 0; (i = hf_table_next_owner(server->table, i));)
                hf_departure_adopt(server, i);
}

static void give_orphan(struct hf_server *server, int fd)
{
        struct hf_thing thing;

        if (hf_resource_of_fd(fd, &thing) == 0)
                hf_work_dispose(server, fd, &thing, NULL);
}

int hf_adoption_apply(struct hf_adoption *adoption, struct hf_server *server, struct hf_error *err)
{
        int r = hf_listeners_adopt(server, err);

        if (r >= 0)
                r = adopt_owners(server);
        if (r >= 0)
                r = adopt_sessions(server);
        if (r >= 0)
                r = hf_work_adopt(server);
        if (r < 0)
                return hf_error_sys(err, -r, "cannot take over what the last server had");
        hf_await_adopt(server);
        hf_parking_adopt(server);
        hf_guard_adopt(server);
        give_rest(server);
        carry_out(server);
        for (size_t i = 0; i < adoption->files.n; i++)
                give_orphan(server, adoption->files.fd[i]);
        for (size_t i = 0; i < adoption->accepted.n; i++)
                hf_listeners_adopt_connection(server, adoption->accepted.fd[i]);
        if (adoption->rebuilt.damaged || adoption->damaged)
                hf_log(HF_LOG_ERROR, MODULE,
                       "%u records of locks and %u of connections were damaged and are lost",
                       adoption->rebuilt.damaged, adoption->damaged);
        hf_log(HF_LOG_DEBUG, MODULE, "%u holds, %u unfinished records, %u descriptors closed",
               adoption->rebuilt.kept, adoption->rebuilt.unfinished,
               adoption->closed + (unsigned int)adoption->files.n);
        return 0;
}

static int by_ticket(const void *a, const void *b)
{
        const struct hf_session *x = *(struct hf_session *const *)a;
        const struct hf_session *y = *(struct hf_session *const *)b;

        return x->ticket < y->ticket ? -1 : x->ticket > y->ticket;
}

/* The waiting session whose ticket comes next behind that one, or NULL. */
static struct hf_session *next_by_ticket(struct hf_area *area, uint64_t ticket)
{
        struct hf_session *next = NULL;

        for (uint32_t i = 0; i < area->n_touched; i++) {
                struct hf_session *session = session_at(area, i);

                if (session && session->ticket > ticket &&
                    (!next || session->ticket < next->ticket))
                        next = session;
        }
        return next;
}

/* Who had a place in line has it again, before anybody else asks. */
static void resume_waiting(struct hf_server *server)
{
        uint32_t n_slots = server->area->n_touched;
        hf_cleanup_free struct hf_session **sessions = calloc(n_slots + 1, sizeof(*sessions));
        size_t n = 0;

        for (uint32_t i = 0; sessions && i < n_slots; i++) {
                sessions[n] = session_at(server->area, i);
                n += sessions[n] && sessions[n]->ticket ? 1 : 0;
        }
        if (sessions)
                qsort(sessions, n, sizeof(*sessions), by_ticket);
        for (size_t i = 0; i < n; i++)
                hf_session_resume(sessions[i]);
        if (sessions)
                return;
        /* The same without memory, which takes longer. */
        for (uint64_t ticket = 0;;) {
                struct hf_session *session = next_by_ticket(server->area, ticket);

                if (!session)
                        break;
                ticket = session->ticket;
                hf_session_resume(session);
        }
}

void hf_adoption_resume(struct hf_server *server)
{
        resume_waiting(server);
        for (uint32_t i = 0; i < server->area->n_touched; i++) {
                struct hf_session *session = session_at(server->area, i);

                if (session)
                        hf_session_resume(session);
        }
}
