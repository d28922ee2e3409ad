/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The lock table: everything the daemon knows about who holds what.
 *
 * One mapping of fixed records and a string arena. Records refer to one another
 * by index (0 is "none") and to strings by offset, never by pointer, so the
 * mapping may lie anywhere, in memory or in a file. For the same reason its
 * hash chains run through the records instead of a library's pointer tables.
 *
 * - A *lockspace* is a directory of lock files, or the default one (path "").
 * - An *owner* is a process: pid and start time. A process may have *client* owners
 *   besides, each with a number of its own: what they hold is not the process's.
 * - A *lock* is one open descriptor with a lock on it. It has the identity of
 *   the file it was taken on and, where known, of the thing it protects: with
 *   the default lockspace these are the same, in a directory lockspace the file
 *   is a stand-in that is named after the thing.
 * - A *hold* is one owner's claim to a lock by one name. A lock lives as long
 *   as it has holds.
 *
 * The table enforces nothing; the rules are in rules.h. It does no I/O.
 *
 * Who writes it may be killed between any two instructions, and another process
 * goes on with the same mapping. For this a hold and a lockspace are made in two
 * steps: one makes the record, the other is the single store by which it counts
 * (a *claim*, claims.h). What a successor does with the rest is in rebuild.h.
 */

#include "base/cleanup.h"
#include "base/thing.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Far above what one process may have open (the usual ceiling of descriptors is 1 Mi). */
#define HF_TABLE_LOCKS_MAX (1U << 18)
/* Shared locks have many holds, but a hold needs a process: twice the locks is plenty. */
#define HF_TABLE_HOLDS_MAX (1U << 19)
/* One per VM; the default limit of processes on Linux is lower. */
#define HF_TABLE_OWNERS_MAX (1U << 16)
/* Each is a directory that an administrator configured. */
#define HF_TABLE_LOCKSPACES_MAX (1U << 12)
/* Room for 256 Ki names of 250 bytes; address space until it is used. */
#define HF_TABLE_STRINGS_SIZE (64U << 20)
/* Longest string kept: PATH_MAX. What is longer cannot be opened. */
#define HF_TABLE_STRING_MAX 4096
/* Longest VM name kept; it is for people only, and longer ones are cut. */
#define HF_TABLE_OWNER_NAME_MAX 1024
/* The path of a VM's monitor: as long as that of any UNIX socket, its NUL included. */
#define HF_TABLE_MONITOR_MAX 108
/* "Through what": a program's short name (the kernel's own has 15 bytes). */
#define HF_TABLE_VIA_MAX 24

enum hf_owner_state {
        HF_OWNER_ALIVE = 0,
        HF_OWNER_CARRIED = 1,  /* dead, but another process has the VM's connection open */
        HF_OWNER_ENDING = 2,   /* told to end: its connection was closed with locks held */
        HF_OWNER_STUBBORN = 3, /* killed, and still there */
};

enum hf_table_lock_flags {
        HF_LOCK_SHARED = 1U << 0,
        HF_LOCK_AUTOCREATE = 1U << 1, /* the file goes with the lock */
        HF_LOCK_SEARCHED = 1U << 2,   /* its thing is not known yet, but may be found out */
        HF_LOCK_RELEASING = 1U << 3,  /* its release has begun, and must be finished */
        HF_LOCK_DUPLICATED = 1U << 4, /* a VM was given a duplicate of its descriptor */
        HF_LOCK_DOUBTED = 1U << 5,    /* its lease may have run out; to be looked at */
        HF_LOCK_LOST = 1U << 6,       /* it did, and another host may have had it since */
        HF_LOCK_METADATA = 1U << 7,   /* of no file's content: fd is -1, no name leads to it */
        HF_LOCK_POSIX = 1U << 8,      /* a POSIX lock, as virtlockd had it (daemon/takeover.h) */
};

/* What is not known to be held any more: it is neither had again nor shared, and no file goes
 * with it. */
#define HF_LOCK_UNSAFE (HF_LOCK_DOUBTED | HF_LOCK_LOST)

/* What becomes of a VM whose lock is lost, or is about to be. */
enum hf_on_lost {
        HF_ON_LOST_DEFAULT, /* as the daemon is configured */
        HF_ON_LOST_WARN,
        HF_ON_LOST_PAUSE,
        HF_ON_LOST_KILL,
        HF_ON_LOST_KINDS,
};

/* What was done to a VM for its locks' sake. Noted before it is done. */
enum hf_acted {
        HF_ACTED_WARNED = 1U << 0,  /* it was reported */
        HF_ACTED_ASKING = 1U << 1,  /* a worker talks to its monitor */
        HF_ACTED_ASKED = 1U << 2,   /* its monitor was told to stop it */
        HF_ACTED_STOPPED = 1U << 3, /* and said that it did */
        HF_ACTED_SIGNAL = 1U << 4,  /* SIGSTOP was sent */
        HF_ACTED_SPREAD = 1U << 5,  /* those that carry its connection had the signal, too */
        HF_ACTED_SEEN = 1U << 6,    /* it was seen to have stopped */
        HF_ACTED_KILLED = 1U << 7,  /* SIGKILL was sent */
        HF_ACTED_FOREIGN = 1U << 8, /* it was paused before, by somebody else */
        HF_ACTED_FINAL = 1U << 9,   /* a lock of its was lost: it is not continued by us */
        HF_ACTED_STUCK = 1U << 10,  /* it could not be continued, which was reported */
        HF_ACTED_MUTE = 1U << 11,   /* its monitor was told nothing, as it does not answer */
};

/* Paused by us, for sure or perhaps. */
#define HF_ACTED_PAUSED (HF_ACTED_ASKED | HF_ACTED_STOPPED | HF_ACTED_SIGNAL)

/* Where among its flags a lock has the number of the parking lot that it is in; 0: none. */
#define HF_LOCK_LOT_SHIFT 24

struct hf_owner {
        uint32_t next; /* chain by pid, or of free records */
        pid_t pid;
        uint64_t start;  /* clock ticks since boot */
        uint64_t client; /* number of a client owner, of which there is one alone; 0: none */
        uint64_t since;  /* first seen, microseconds since the epoch */
        /* Of the next step against one that must end, CLOCK_MONOTONIC microseconds; 0: none. */
        uint64_t deadline;
        uint8_t uuid[16];
        uint32_t name; /* string */
        uint32_t id;
        uint32_t first_hold;
        uint32_t holds;
        uint32_t sessions;          /* connections registered for it */
        uint32_t connections;       /* those of them whose peer is the owner itself */
        uint8_t state;              /* enum hf_owner_state */
        uint8_t killed;             /* SIGKILL was sent */
        uint8_t leaving;            /* dead: its locks are being given back */
        int pidfd;                  /* readable when the process has ended */
        char via[HF_TABLE_VIA_MAX]; /* through what it first came */
        /* When its monitor has to have answered, CLOCK_BOOTTIME microseconds. */
        uint64_t ask_until;
        uint16_t acted;         /* enum hf_acted */
        uint8_t on_lost;        /* enum hf_on_lost */
        uint32_t monitor_check; /* of the path; 0: it has none */
        char monitor[HF_TABLE_MONITOR_MAX];
};

struct hf_lock {
        uint32_t next;       /* chain by file, or of free records */
        uint32_t next_thing; /* chain by thing, or of those whose thing is searched for */
        struct hf_thing file;
        struct hf_thing thing; /* kind none: not known */
        int fd;
        uint32_t flags; /* enum hf_table_lock_flags */
        uint32_t first_hold;
        uint32_t holds;
        uint64_t search_after; /* until when its thing is not looked for, as wall clock */
        uint32_t thing_check;  /* of the thing, which may be learned late; see claims.h */
        uint32_t serial;       /* of its descriptor, by which it is known in a parking lot; or 0 */
};

struct hf_hold {
        uint32_t next; /* chain by name, or of free records */
        uint32_t lock;
        uint32_t owner;
        uint32_t lockspace;
        uint32_t name; /* string */
        uint32_t name_hash;
        uint32_t next_in_lock;
        uint32_t next_in_owner, prev_in_owner;
        uint32_t next_in_set; /* until they are claimed: those that were prepared together */
        uint64_t since;       /* microseconds since the epoch */
        uint64_t set;         /* the number of the set that it was acquired with; 0: none */
        char via[HF_TABLE_VIA_MAX];
        uint32_t check; /* of what it says, see claims.h; 0: it says nothing */
};

struct hf_lockspace {
        uint32_t next;
        uint32_t path;  /* string; "" for the default lockspace */
        uint32_t check; /* as that of a hold */
};

struct hf_table;

/* A new table with only the default lockspace in it, in memory. -ENOMEM, -EMFILE and the like. */
int hf_table_new(struct hf_table **ret);

/*
 * The same in a file of mode 0600, which replaces one that is there. boot is the
 * kernel's boot id. Whatever does not fit the file system any more is refused
 * with -ENOSPC when it is added. Also what open, ftruncate and mmap fail with.
 */
int hf_table_create(const char *path, const uint8_t boot[static 16], struct hf_table **ret);

/*
 * The table that another daemon left in a file, to read its claims (claims.h)
 * and for nothing else; the file stays as it is. -ENOENT; -EBADMSG: no such file
 * of ours, or of another version; -ESTALE: of another boot.
 */
int hf_table_load(const char *path, const uint8_t boot[static 16], struct hf_table **ret);
struct hf_table *hf_table_free(struct hf_table *table);

static inline void hf_table_freep(struct hf_table **table)
{
        *table = hf_table_free(*table);
}

#define hf_cleanup_table hf_cleanup(hf_table_freep)

/* Whether what is stored in it goes to a file that has a name. */
bool hf_table_is_kept(const struct hf_table *table);

/*
 * The descriptor behind the table, by which another process can map it. It stays
 * the table's. -1: there is none, of a table that was loaded, and of a new one where
 * the process may have no file of that size (RLIMIT_FSIZE, and no right to lift it).
 */
int hf_table_fd(const struct hf_table *table);

/*
 * Keeps in memory what of the table has been touched, and whatever will be; the
 * rest of it gets no storage by this. -EPERM or -ENOMEM where RLIMIT_MEMLOCK
 * refuses it, -ENOSYS.
 */
int hf_table_lock_memory(struct hf_table *table);

/* The record at an index that the table gave; valid until it is removed. */
struct hf_owner *hf_table_owner(struct hf_table *table, uint32_t owner);
struct hf_lock *hf_table_lock(struct hf_table *table, uint32_t lock);
struct hf_hold *hf_table_hold(struct hf_table *table, uint32_t hold);
const char *hf_table_string(const struct hf_table *table, uint32_t string);

/* The path of a lockspace. */
const char *hf_table_lockspace_path(struct hf_table *table, uint32_t lockspace);

/* The default lockspace's index. */
#define HF_LOCKSPACE_DEFAULT 1U

/* 0 where there is none. */
uint32_t hf_table_find_lockspace(struct hf_table *table, const char *path);
/* Claims nothing yet. -ENOSPC when the table is full, -ENAMETOOLONG. */
int hf_table_add_lockspace(struct hf_table *table, const char *path, uint32_t *ret);
/* As hf_table_claim_hold. */
void hf_table_claim_lockspace(struct hf_table *table, uint32_t lockspace);

/*
 * 0 where there is none; never a client owner. start 0 finds the newest owner of that pid: for a
 * process that is gone, of which no start time can be read any more.
 */
uint32_t hf_table_find_owner(struct hf_table *table, pid_t pid, uint64_t start);

/*
 * The client owner of that number of a process, or 0. And all client owners of a process, one
 * after the other: the first (after 0), or the next one behind `after`; 0: no more.
 */
uint32_t hf_table_find_client(struct hf_table *table, pid_t pid, uint64_t start, uint64_t client);
uint32_t hf_table_next_client(struct hf_table *table, pid_t pid, uint64_t start, uint32_t after);

struct hf_owner_info {
        pid_t pid;
        uint64_t start;
        uint64_t client;
        uint64_t since;
        const uint8_t *uuid; /* 16 bytes */
        const char *name;
        const char *via;
        uint32_t id;
        int pidfd; /* stays the caller's to close after the owner is removed */
};

int hf_table_add_owner(struct hf_table *table, const struct hf_owner_info *info, uint32_t *ret);
/* The owner must have no holds. */
void hf_table_remove_owner(struct hf_table *table, uint32_t owner);

/*
 * Notes where an owner's monitor listens; "": nowhere. -ENAMETOOLONG. And its path, or
 * "", also where that was not noted to its end.
 */
int hf_table_set_monitor(struct hf_table *table, uint32_t owner, const char *path);
const char *hf_table_monitor(struct hf_table *table, uint32_t owner);

/*
 * First hold by that name, and the next one after it; 0 where there is none. Holds of metadata
 * locks have names for people only, and are not among them.
 */
uint32_t hf_table_find_name(struct hf_table *table, uint32_t lockspace, const char *name);
uint32_t hf_table_next_name(struct hf_table *table, uint32_t hold);

/*
 * First lock whose file, or whose protected thing, is the given one; with
 * after != 0 the next one behind that. 0 where there is none.
 */
uint32_t hf_table_find_file(struct hf_table *table, const struct hf_thing *file, uint32_t after);
uint32_t hf_table_find_thing(struct hf_table *table, const struct hf_thing *thing, uint32_t after);

/*
 * The lock takes fd over: whoever removes the lock closes it. With HF_LOCK_METADATA fd is -1,
 * file of kind HF_THING_METADATA, and thing none.
 */
int hf_table_add_lock(struct hf_table *table, const struct hf_thing *file,
                      const struct hf_thing *thing, int fd, uint32_t flags, uint32_t *ret);
/* Notes that the lock's release has begun, by one store. */
void hf_table_set_releasing(struct hf_table *table, uint32_t lock);

/* Sets and clears, by one store, what is known of a lock's lease (HF_LOCK_UNSAFE). */
void hf_table_set_lease(struct hf_table *table, uint32_t lock, uint32_t unsafe);

/* Notes, and says, which parking lot the lock is in; a number of at most 255. */
void hf_table_set_lot(struct hf_table *table, uint32_t lock, uint32_t lot);
static inline uint32_t hf_table_lot(const struct hf_lock *lock)
{
        return lock->flags >> HF_LOCK_LOT_SHIFT;
}

/* Notes what a lock protects whose thing was searched for. */
void hf_table_set_thing(struct hf_table *table, uint32_t lock, const struct hf_thing *thing);
/* First lock whose thing is searched for, or the next one after that; 0 where there is none. */
uint32_t hf_table_find_searched(struct hf_table *table, uint32_t after);
/* The lock must have no holds. */
void hf_table_remove_lock(struct hf_table *table, uint32_t lock);

struct hf_hold_info {
        uint32_t lock;
        uint32_t owner;
        uint32_t lockspace;
        const char *name;
        const char *via;
        uint64_t since;
        uint64_t set;
};

/* In all chains, but it claims nothing yet. -ENOSPC when the table is full, -ENAMETOOLONG. */
int hf_table_add_hold(struct hf_table *table, const struct hf_hold_info *info, uint32_t *ret);
/*
 * Makes a claim of a hold, by one store. It needs only what the records say, no
 * chain, and may be repeated; a record that cannot be read claims nothing.
 */
void hf_table_claim_hold(struct hf_table *table, uint32_t hold);
/*
 * Makes claims of a hold and of all that are chained to it by next_in_set; may be repeated. Whoever
 * reads the table when that was cut off, and does not repeat it, finds none of them.
 */
void hf_table_claim_set(struct hf_table *table, uint32_t first);
void hf_table_remove_hold(struct hf_table *table, uint32_t hold);

/* Counts of what is in use. */
struct hf_table_counts {
        uint32_t owners, locks, holds, lockspaces;
};
struct hf_table_counts hf_table_count(const struct hf_table *table);

/* Walks all owners or holds in order of their index: the next one in use above `after`, or 0. */
uint32_t hf_table_next_owner(struct hf_table *table, uint32_t after);
uint32_t hf_table_next_hold(struct hf_table *table, uint32_t after);
