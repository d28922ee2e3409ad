/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The server: one thread, one event loop, and what all its parts share.
 *
 *   listener.c   sockets, who may connect, the limit of clients
 *   session.c    one connection, its begin and its end; session-serve.c: bytes in, bytes out
 *   dispatch.c   from a frame to the procedure that is meant, and its guards
 *   *-program.c  the programs: virtlockd's locks, its admin calls, our own
 *   acquire.c    taking locks
 *   learn.c      what a lock protects, found out later
 *   search.c     who holds what is not in our table
 *   acquire-set.c  taking a set of locks, whole or not at all
 *   wait.c       who waits for a set, and is next
 *   await.c      waiting for who is not in our table
 *   release.c    giving locks back
 *   holder.c     records of holders, for other hosts and of them
 *   await.c      waiting for locks that strangers have
 *   work.c       what may have to wait for a filesystem: workers do it
 *   owner.c      which process a lock belongs to, and learning of its end
 *   recover.c    what an earlier daemon left
 *   departure.c  who left, and what happens to what it held
 *   parking.c    lock descriptors in the service manager's keeping
 *   kept.c       locks that were kept while no daemon ran
 *   event.c      what happened, noted and counted; event-tell.c: for those who listen
 *   metrics.c    what is counted, in numbers
 *   guard.c      leases of NFS mounts; guard-vm.c: what becomes of VMs that lose one
 *
 * Nothing here may block. What could wait for a filesystem (opening and locking a
 * file that is not in memory) is done by a worker, in another process; reading
 * foreign processes is done in slices. Each is a step with a completion.
 */

#include "daemon/config.h"
#include "lockspace/table.h"
#include "storage/record.h"

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>

struct hf_await;
struct hf_search;
struct hf_session;
struct hf_area;
struct hf_event_listener;
struct hf_guard_state;
struct hf_keeper;
struct hf_leaving_place;
struct hf_waits;
struct hf_works;

/* The two servers that virt-admin shows; their names are virtlockd's. */
enum hf_service_kind {
        HF_SERVICE_LOCKS,
        HF_SERVICE_ADMIN,
        HF_SERVICE_KINDS,
};

extern const char *const hf_service_names[HF_SERVICE_KINDS];

/* A listening socket and what may be asked there. */
struct hf_listener {
        struct hf_server *server;
        enum hf_service_kind kind;
        uint32_t index;   /* of its record in the area */
        bool read_only;   /* only calls that show; any user that the socket's mode lets in */
        const char *name; /* as systemd's unit is called */
        int fd;
        const char *path; /* removed at the end; "" for a socket that was passed in */
        sd_event_source *source;
};

/*
 * Connections to read-only sockets that are served at once. They have places of
 * their own, so that users who may look cannot keep a VM from its locks.
 */
#define HF_READERS_MAX 256

/* Descriptors by which a successor may need more than this server, at some moment of its start. */
#define HF_RESERVE 8

/* Sockets: virtlockd's two, our two; systemd may pass more of each. */
#define HF_LISTENERS_MAX 16

/* Parking lots that systemd may pass: one, and those that killed daemons have left half-way. */
#define HF_LOTS_MAX 64

struct hf_passed_lot {
        int fd;
        uint32_t number;
};

struct hf_server {
        sd_event *event;
        struct hf_table *table;
        struct hf_config *config;
        bool privileged;
        pid_t pids[3]; /* ours, until 0: the one that stands for the daemon, and this one's */
        char host[HOST_NAME_MAX + 1];
        struct hf_record self; /* of every record of ours, what is the same in all */

        struct hf_listener listeners[HF_LISTENERS_MAX];
        int spare_fd; /* given up to be able to accept, and refuse, when descriptors run out */
        int reserve[HF_RESERVE]; /* room for a successor, which closes what nobody tells of */

        struct hf_session *sessions;                 /* all, newest first */
        struct hf_session *answered, **answered_end; /* those to be resumed, in their order */
        int poll_fd;                                 /* their epoll */
        int reader_poll_fd;                          /* that of those that only look */
        sd_event_source *poll_source, *reader_poll_source;
        unsigned int clients[HF_SERVICE_KINDS];
        unsigned int readers; /* those of them that only look */
        unsigned int refused; /* connections over the limit that wait to be told so */
        struct hf_area *area; /* slots of the sessions, and what else outlives this server */
        uint32_t *free_slots; /* of those that were used before; the last comes out first */
        uint32_t n_free_slots;

        struct hf_passed_lot passed_lots[HF_LOTS_MAX];
        size_t n_passed_lots;
        sd_event_source *parker;       /* runs while there are locks to be parked */
        sd_event_source *parker_timer; /* when parked descriptors of released locks have to go */
        uint32_t parker_at;            /* the hold that was looked at last */
        uint32_t parked_dead;          /* about how many of those there are */
        bool parking_failed;           /* and that was said */

        struct hf_waits *waits;                       /* who waits for locks */
        bool woken;                                   /* somebody of them is to be looked at */
        const struct hf_leaving_place *leaving_place; /* the daemon's; NULL: it cannot leave */
        bool has_posix;         /* there are, or were, locks as virtlockd had them (posix.h) */
        struct hf_works *works; /* what may have to wait for a filesystem */
        struct hf_guard_state *guard; /* what may be lost */
        struct hf_await *awaits;      /* locks that strangers have and that are waited for */
        uint64_t last_await;          /* number of the last of them */
        sd_event_source
                *await_timer;        /* when helpers of an earlier server have to be wanted again */
        bool await_said;             /* that one has no helper was reported */
        struct hf_search *searches;  /* first in, first done */
        sd_event_source *searcher;   /* runs while there are any */
        sd_event_source *departures; /* runs while locks of ended owners wait to be given back */
        sd_event_source **owner_sources; /* by owner: the watch on its pidfd */
        sd_event_source **owner_timers;  /* by owner: the next step against one that has to end */
        struct hf_event_listener *listeners_of_events;
        sd_event_source *event_teller; /* runs after a turn in which something happened */
        struct hf_event_listener *listener_to_tell; /* the next one in this round; NULL: none is */
        bool more_to_tell;                          /* there is to be another round */
        sd_event_source *idle_timer;
        uint64_t idle_timeout; /* microseconds; 0: stay */
};

/*
 * Makes a server. The event loop, config, keeper and area (with n_slots set) stay
 * the caller's; the table is the server's, on success. keeper NULL: there are no
 * workers, filesystems are waited for.
 */
int hf_server_new(sd_event *event, struct hf_config *config, struct hf_keeper *keeper,
                  struct hf_table *table, struct hf_area *area, struct hf_server **ret,
                  struct hf_error *err);

/* Keeps some descriptors for a successor, once all that this server needs is open. */
void hf_server_reserve(struct hf_server *server);

/* The end of the daemon, but for its listeners. */
struct hf_server *hf_server_free(struct hf_server *server);

/*
 * Makes a source for work that is done in small pieces: while it is enabled (it
 * is not yet), each turn of the loop serves it once, and all others once.
 * sd-event's own kind for this, the defer source, would not let others in.
 */
int hf_server_add_background(struct hf_server *server, sd_event_io_handler_t handler,
                             sd_event_source **ret);

/* Wall clock for what people read: microseconds since the epoch. */
uint64_t hf_server_wall_clock(const struct hf_server *server);

/* Now in clock ticks since boot, to be compared with the start of a process. */
uint64_t hf_server_boot_ticks(const struct hf_server *server);

/* Called when a client or a lock went: starts or stops the clock of --timeout. */
void hf_server_check_idle(struct hf_server *server);
