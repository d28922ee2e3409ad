/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Work: what may have to wait for a filesystem, done by workers (keeper/worker.h).
 *
 * One worker at a time is busy with a filesystem, so that one that hangs costs
 * one process; what else is to be done there waits its turn, up to a bound. A
 * disk is a filesystem of its own here, and so is a path of which the kernel
 * cannot say without asking where it leads.
 *
 * Each worker has a record in the area, with all it needs, and all it found: a
 * server that is killed meanwhile is followed by one that waits for the same
 * worker. A request that has waited too long, or whose client has left, gives its
 * worker up: nobody waits for the outcome, and what it has locked by then is
 * given back. A lock that is to be given back waits for as long as it takes.
 */

#include "base/error.h"
#include "base/thing.h"
#include "keeper/worker.h"
#include "storage/guarantee.h"
#include "storage/record.h"

#include <limits.h>
#include <stdatomic.h>

struct hf_mount;
struct hf_server;
struct hf_session;

/*
 * Workers at one time, thus filesystems that may hang: more than a host has at its worst. Those of
 * the guard of leases are others, so that neither waits for the other: two for each filesystem, and
 * some for VMs.
 */
#define HF_WORKERS_COMMON 32
#define HF_WORKERS_GUARD  64
/* And those that wait for a lock which a stranger has, one for each (await.h). */
#define HF_WORKERS_AWAIT 32
#define HF_WORKERS_MAX   (HF_WORKERS_COMMON + HF_WORKERS_GUARD + HF_WORKERS_AWAIT)

/* Requests that wait for one filesystem: as many VMs as start together. */
#define HF_WORK_WAITING_MAX 64

enum hf_work_kind {
        HF_WORK_TAKE,      /* opens path and locks it */
        HF_WORK_GIVE,      /* gives a lock back; with path: and removes its file */
        HF_WORK_FIND,      /* what is behind the hash, for a process */
        HF_WORK_IDENTIFY,  /* what path leads to */
        HF_WORK_LOCKSPACE, /* makes a directory */
        HF_WORK_CREATE,    /* makes a file */
        HF_WORK_DELETE,    /* removes it; thing is what it was seen to be */
        HF_WORK_AWAIT,     /* opens path and waits until it has the lock (await.h) */
        /* The guard's (guard.h). */
        HF_WORK_RENEW,   /* asks the server of an NFS mount for an answer, by fd */
        HF_WORK_PROVE,   /* asks whether locks stand; items: their descriptors */
        HF_WORK_MONITOR, /* stops or continues VMs by their monitors; items: owners */
        HF_WORK_SIGNAL,  /* a signal to whoever carries the connections; inodes */
};

/* Locks, or VMs, that one worker of the guard is busy with. */
#define HF_WORK_ITEMS_MAX 128

/* One of them. */
struct hf_work_item {
        uint32_t index; /* of its record in the table */
        int32_t fd;     /* PROVE */
        bool stands_in; /* PROVE: the file is nothing but its name, which others find it by */
        struct hf_thing file;
        uint64_t start; /* MONITOR: of the owner */
};

/* For a resource's hash and its end. */
#define HF_WORK_HASH_SIZE 65

struct hf_order {
        enum hf_work_kind kind;
        bool shared, autocreate; /* TAKE, AWAIT */
        bool guessed;  /* that path is on the filesystem of its directory; it may be a symlink */
        bool posix;    /* GIVE: a POSIX lock */
        int fd;        /* GIVE */
        pid_t pid;     /* FIND */
        uint32_t lock; /* GIVE: its record in the table, or 0 */
        struct hf_thing thing; /* GIVE, DELETE */
        char hash[HF_WORK_HASH_SIZE];
        char path[PATH_MAX]; /* for FIND: where it is looked for, as far as known */
        /*
         * TAKE: the lock gets this record where other hosts meet it (storage/record.h); in the
         * locked file where that is a stand-in. GIVE: it is cleared, if it is of this host.
         */
        bool records, record_inside;
        struct hf_record record;
        /* The guard's. */
        uint64_t sent;   /* when it was ordered, CLOCK_BOOTTIME microseconds */
        uint64_t until;  /* MONITOR: how long it may take, the same */
        bool by_lock;    /* RENEW: only an access by a lock renews the lease */
        uint32_t action; /* MONITOR: enum hf_qmp_goal; SIGNAL: the signal */
        uint32_t n_items;
        struct hf_work_item items[HF_WORK_ITEMS_MAX];
        uint32_t n_inodes; /* SIGNAL: of our ends of the connections */
        uint64_t inodes[HF_WORK_ITEMS_MAX];
};

struct hf_result {
        int status;     /* 0, or a negative errno; TAKE: -EAGAIN, another one has the lock */
        int fd;         /* TAKE, AWAIT: the locked file, the receiver's */
        bool elsewhere; /* nothing was done: the guess was wrong */
        struct hf_thing thing;
        int record_status; /* TAKE: 0, or a negative errno: the lock has no record */
        bool has_holder;   /* TAKE, -EAGAIN: holder is what a record says */
        struct hf_record holder;
        /* Of each item, by the worker as it goes on; valid also where it was ended. */
        int32_t items[HF_WORK_ITEMS_MAX];
        bool commanded[HF_WORK_ITEMS_MAX]; /* MONITOR: "stop" or "cont" was sent */
        uint64_t begun;                    /* when it began, CLOCK_BOOTTIME microseconds */
        uint64_t proved;                   /* AWAIT: when the lock was seen to stand, the same */
        struct hf_error error; /* with a status that is not the filesystem's own answer, the words
                                  for it; else no text */
};

enum hf_worker_state {
        HF_WORKER_NONE,
        HF_WORKER_RUNS,
        HF_WORKER_DONE, /* said by the worker itself: the outcome is true */
};

/* Which filesystem. */
struct hf_place_key {
        uint32_t kind;
        uint64_t number;
};

/* A worker, in the area. It writes the outcome and then the state, and nothing else. */
struct hf_worker {
        _Atomic uint32_t state; /* enum hf_worker_state */
        uint32_t given_up;      /* nobody waits */
        int32_t pidfd;
        uint32_t table; /* of a GIVE: the descriptor table that it works in */
        /* It has a table of its own by now. Said by the worker, before it does anything. */
        _Atomic uint32_t apart;
        uint64_t number;  /* of its message with a descriptor */
        uint64_t since;   /* CLOCK_MONOTONIC microseconds */
        uint64_t client;  /* the session's id, and */
        uint32_t service; /* its kind */
        struct hf_place_key where;
        struct hf_order order;
        struct hf_result outcome;
};

/* What waits for an outcome. */
struct hf_job;

typedef void (*hf_work_done)(void *data, const struct hf_result *outcome);

/* Makes the workers' part of a server; keeper NULL: all work is done at once, in this process. */
int hf_work_new(struct hf_server *server, struct hf_keeper *keeper);

/* The daemon ends. Of workers that do not, locks that can be freed without them are. */
void hf_work_free(struct hf_server *server);

/*
 * Before a successor opens anything: a server that is killed while it makes a worker leaves
 * a number of no pidfd, which is forgotten.
 */
void hf_work_check(struct hf_worker *workers);

/* Goes on with the workers of earlier servers. */
int hf_work_adopt(struct hf_server *server);

/*
 * Whether a worker of an earlier server does something for the session's request: what it
 * may have locked already would stand against a second try.
 */
bool hf_work_is_under_way(struct hf_server *server, const struct hf_session *session);

/*
 * Has it done for a session (which is not needed for a GIVE). Unless the job is
 * freed before, done is called once, later, from the loop; the job is gone then. The same
 * order of the same session finds the worker of an earlier server. -EAGAIN where
 * too many wait for that filesystem, -ENOMEM, -ENAMETOOLONG, with *err.
 */
int hf_work_start(struct hf_server *server, const struct hf_session *session,
                  const struct hf_order *order, hf_work_done done, void *data, struct hf_job **ret,
                  struct hf_error *err);

/* Which filesystem, or what else has one worker at a time. */
enum hf_place_kind {
        HF_PLACE_FILESYSTEM, /* number: of its device */
        HF_PLACE_DISK,       /* the same */
        HF_PLACE_PATH,       /* number: a hash; not known, and may be anywhere */
        /* The guard's: none of these waits for a lock that is being taken there. */
        HF_PLACE_LEASE, /* number: of the filesystem's device */
        HF_PLACE_LOCKS, /* the same */
        HF_PLACE_VMS,   /* a number for each group of VMs */
        HF_PLACE_AWAIT, /* a number for each lock that is waited for */
};

/*
 * Has something done for the guard, or for who awaits a lock, at once or not at all;
 * hf_guard_ended, or hf_await_ended, is told of its end, also by a later server. -EBUSY: somebody
 * is busy there; -EAGAIN: with other things of that kind; -EOPNOTSUPP: there are no workers; or why
 * there is no process.
 */
int hf_work_launch(struct hf_server *server, struct hf_place_key where,
                   const struct hf_order *order);

/*
 * Ends what asks a server by our descriptors: before another program is executed in this one's
 * place, as that would not share them any more.
 */
void hf_work_end_askers(struct hf_server *server);

/*
 * Waits a moment for workers that have this descriptor table, until this process and its
 * supervisor are alone with it. -EBUSY: they are not.
 */
int hf_work_get_alone(struct hf_server *server);

/* Whether a worker is about to send another signal than this one. */
bool hf_work_sends_another(struct hf_server *server, uint32_t number);

/* Whether somebody is busy there. */
bool hf_work_is_busy(struct hf_server *server, struct hf_place_key where);

/* The mount of a filesystem, or NULL; valid until the next call. */
const struct hf_mount *hf_work_mount(struct hf_server *server, uint64_t dev);

/* CLOCK_BOOTTIME microseconds. */
uint64_t hf_work_boottime(void);

/* Fills in a path; -ENAMETOOLONG. */
int hf_order_set_path(struct hf_order *order, const char *path);

/* Nobody waits for it any more. NULL is fine. */
struct hf_job *hf_job_free(struct hf_job *job);

/* Whether a lock is being given back by a worker, or waits for one. */
bool hf_work_gives(struct hf_server *server, uint32_t lock);

/* Whether the file is being removed. */
bool hf_work_deletes(struct hf_server *server, const struct hf_thing *thing);

/*
 * Gives a locked descriptor back that no record tells of: at once where that
 * cannot block, else by a worker. With path its file is removed, as by
 * hf_resource_give.
 */
void hf_work_dispose(struct hf_server *server, int fd, const struct hf_thing *thing,
                     const char *path);

/* Whether closing a file never waits. */
bool hf_work_closes(struct hf_server *server, const struct hf_thing *thing);

/* Whether opening a path that is in memory never waits. */
bool hf_work_is_local(struct hf_server *server, const char *path, bool and_closes);

/* What a lock on a thing is worth. */
void hf_work_guarantee(struct hf_server *server, const struct hf_thing *thing,
                       struct hf_guarantee_of *ret);

/* Whether a path is, by its text, on the filesystem of that device. */
bool hf_work_is_on(struct hf_server *server, const char *path, uint64_t dev);

/* Each descriptor that the workers' records tell of. */
void hf_work_each_fd(const struct hf_worker *workers, uint32_t table,
                     void (*each)(void *data, int fd), void *data);

/* In a worker that may wait for ever: the supervisor's end is its own, too. */
void hf_work_end_with_supervisor(struct hf_keeper *keeper);

/* In a worker: does it. Where it has to send a descriptor, it does so. */
void hf_work_run(struct hf_worker *worker, struct hf_keeper *keeper);
