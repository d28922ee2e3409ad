/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef HOLDFAST_H
#define HOLDFAST_H

/*
 * libholdfast: a virtual machine's disks and leases belong to one virtual
 * machine at a time.
 *
 * A program that runs VMs makes one holdfast_vm per VM, adds what the VM uses,
 * and calls
 *
 *     holdfast_vm_start     in the process that becomes the VMM, between fork
 *                           and exec; the descriptor it gives stays open in the
 *                           VMM and is how its end is noticed
 *     holdfast_vm_pause     from another process, when the VM stopped writing
 *     holdfast_vm_resume    from another process, before it writes again
 *     ..._attach, _detach   from another process, around hot plug
 *
 * Another process is one that manages the VMM, such as its parent. The VMM's
 * own process has given up every right but to be noticed when it ends; with
 * the driver lockd it gets -EOPNOTSUPP.
 *
 * A program that is no VM, such as a backup, makes one with HOLDFAST_VM_CLIENT,
 * calls holdfast_vm_start in the process that works with the disk, and closes
 * the descriptor when it is done.
 *
 * A program that wants to know who holds what uses holdfast_list_vms,
 * holdfast_list_locks, holdfast_list_waiters and holdfast_who.
 *
 * What happens to locks is told by holdfast_events_open, and counted in
 * holdfast_get_metrics.
 *
 * A program that changes a file's owner, mode or labels takes its metadata lock
 * with holdfast_metadata_lock.
 *
 * Functions that can fail return a negative errno and fill *err (which may be
 * NULL); outputs are set only on success. The library never aborts, never
 * writes to a log or a terminal, starts no threads and has no event loop.
 * Objects are not locked: one object, one thread at a time. Different objects
 * may be used by different threads.
 *
 * Structures that carry `size` grow at the end only. Those that the caller
 * fills are made by their _init function; those that the library returns are
 * reached by pointers, so their size need not be known.
 */

#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Of a UUID in its binary form. */
#define HOLDFAST_UUID_SIZE 16

/* Room for an error's text and its NUL. */
#define HOLDFAST_ERROR_TEXT_MAX 1024

enum holdfast_code {
        HOLDFAST_OK = 0,
        HOLDFAST_E_SYSTEM = 1,      /* a system call failed, here or in the daemon; see sys */
        HOLDFAST_E_INVALID = 2,     /* the caller asked for something that makes no sense */
        HOLDFAST_E_BUSY = 3,        /* held by another; holdfast_vm_refusal says by whom */
        HOLDFAST_E_NO_DAEMON = 4,   /* no lock daemon answers */
        HOLDFAST_E_DENIED = 5,      /* not permitted */
        HOLDFAST_E_CONFIG = 6,      /* configuration file or driver cannot be used */
        HOLDFAST_E_PROTOCOL = 7,    /* the daemon went away or sent what cannot be understood */
        HOLDFAST_E_UNSUPPORTED = 8, /* this driver or daemon cannot do that */
        HOLDFAST_E_TIMEOUT = 9,
        HOLDFAST_E_INTERNAL = 10,
        HOLDFAST_E_STALE = 11 /* used by others since the VM was paused: it must not go on */
};

struct holdfast_error {
        int code;                           /* enum holdfast_code */
        int sys;                            /* positive errno, or 0 */
        char text[HOLDFAST_ERROR_TEXT_MAX]; /* complete as it is, without a prefix */
};

/* The version of the library that runs, e.g. "0.1.0". */
const char *holdfast_version(void);

/* ---- what a lock is worth -------------------------------------------------------------- */

enum holdfast_guarantee {
        HOLDFAST_GUARANTEE_NONE = 0,             /* not known, or no lock at all (driver nop) */
        HOLDFAST_GUARANTEE_HOST = 1,             /* excludes VMs of this host */
        HOLDFAST_GUARANTEE_CLUSTER_ADVISORY = 2, /* all hosts of the shared filesystem */
        HOLDFAST_GUARANTEE_CLUSTER_FENCED = 3    /* all hosts; a host that fails is kept out */
};

/* "host", "cluster-advisory", "cluster-fenced"; "none" for any other number. */
const char *holdfast_guarantee_name(unsigned int guarantee);

/* Who stood against the last refused request. What is not known is empty or 0. */
struct holdfast_holder {
        size_t size; /* set by the caller: sizeof(struct holdfast_holder) */
        char name[256];
        unsigned char uuid[HOLDFAST_UUID_SIZE];
        pid_t pid;
        char host[256];
        uint64_t since;      /* microseconds since the epoch */
        char via[64];        /* through what: "holdfast run", "libvirt", ... */
        char resource[4096]; /* the path or key that was refused, as this side named it */
        unsigned int shared; /* whether the holder reads only */
        /* Of hosts that know each other by numbers: */
        uint32_t host_id;    /* 0: none */
        uint64_t generation; /* how many times that host has joined */
        char state[256]; /* for people: what is known of the holder or its host, and until when */
};

/* ---- a VM and what it holds ------------------------------------------------------------ */

/*
 * What to do with the VM when a lock is lost while it runs, or is about to be: with
 * the driver lockd when a file server is silent. A driver that cannot notice it does
 * nothing.
 */
enum holdfast_on_lost {
        HOLDFAST_ON_LOST_DEFAULT = 0, /* on_lost of holdfast.conf, else that of holdfastd.conf */
        HOLDFAST_ON_LOST_WARN = 1,
        HOLDFAST_ON_LOST_PAUSE = 2,
        HOLDFAST_ON_LOST_KILL = 3
};

enum holdfast_vm_flags {
        /*
         * The VMM locks whole images itself and does not start where a byte of one is
         * locked (cloud-hypervisor): the locks are kept elsewhere, and others that ask the
         * same daemon are kept out all the same.
         */
        HOLDFAST_VM_LOCKS_IMAGES = 1,
        /*
         * It is no VM: what holdfast_vm_start takes belongs to whoever has the descriptor open
         * that it gives, and is given back when the last of them closes it. Nobody is
         * killed for that, and there is no action on a lost lock. Such an object has no
         * pause, resume, attach or detach; it may be started again after that.
         */
        HOLDFAST_VM_CLIENT = 2
};

/* What is waited for. The pointers are valid during the call. */
struct holdfast_waiting {
        size_t size;
        unsigned int position;                /* in line for the resource; 1: next; 0: not known */
        uint64_t since;                       /* when it began, microseconds since the epoch */
        const char *resource;                 /* as it was added */
        const char *text;                     /* the lock daemon's words */
        const struct holdfast_holder *holder; /* as far as it is known; never NULL */
};

struct holdfast_vm_params {
        size_t size;
        const char *name;                       /* needed, not empty */
        unsigned char uuid[HOLDFAST_UUID_SIZE]; /* all zero: a random one is made */
        uint32_t id;          /* the manager's number for the VM; 0: the VMM's pid is used */
        pid_t pid;            /* of the VMM; 0: set by start or holdfast_vm_set_pid */
        const char *via;      /* shown as "through"; NULL: "libholdfast" */
        const char *driver;   /* NULL: lock_manager of holdfast.conf, else "lockd" */
        const char *config;   /* path of holdfast.conf, must then exist; NULL: the usual place */
        int timeout_ms;       /* of one call on this object; 0: 30 seconds; < 0: none */
        unsigned int on_lost; /* enum holdfast_on_lost */
        /*
         * NULL: nobody is told. Gets, once each, lines that are no errors: a key of a
         * configuration file that has no effect, a lock that is worth less than usual. It
         * may be called during any call on the VM.
         */
        void (*warn)(void *ctx, const char *text);
        void *warn_ctx;
        /*
         * The socket of QEMU's monitor (QMP), an absolute path, by which the lock daemon
         * pauses and continues the VM; NULL: it has none for us, and is paused by SIGSTOP. A QMP
         * socket serves one client at a time: this one should have no other.
         */
        const char *monitor;
        unsigned int flags; /* enum holdfast_vm_flags */
        /*
         * How long start, resume and attach wait for locks that others have, in milliseconds; 0:
         * not at all; < 0: for ever. They are granted all at once, in the order of asking, and
         * timeout_ms is for what is not waiting. A wait that runs out is -EBUSY, and its text says
         * how long it was. A VM that has locks may not wait for more (-EDEADLK). Of a daemon, or a
         * driver, that cannot let anybody wait it is -EOPNOTSUPP, where there is something to
         * wait for.
         */
        int wait_ms;
        /*
         * NULL: nobody is told. Called when such a wait begins, and when what it waits for
         * has changed, at most once a second.
         */
        void (*waiting)(void *ctx, const struct holdfast_waiting *waiting);
        void *waiting_ctx;
};

static inline void holdfast_vm_params_init(struct holdfast_vm_params *params)
{
        memset(params, 0, sizeof(*params));
        params->size = sizeof(*params);
}

struct holdfast_vm;

/*
 * Makes a VM object: reads holdfast.conf, loads and initialises the driver.
 * Nothing is connected or locked. Strings in params are copied. Free *ret with
 * holdfast_vm_free.
 */
int holdfast_vm_new(const struct holdfast_vm_params *params, struct holdfast_vm **ret,
                    struct holdfast_error *err);

/* Frees the object. What the VM holds it keeps: only release or its end frees locks. */
void holdfast_vm_free(struct holdfast_vm *vm);

/* The pid of the VMM, when it became known after holdfast_vm_new (the parent of a fork). */
void holdfast_vm_set_pid(struct holdfast_vm *vm, pid_t pid);

/* The name of the driver in use, e.g. "lockd"; belongs to vm. */
const char *holdfast_vm_driver(const struct holdfast_vm *vm);

/* Whether holdfast.conf lets a VMM be given a QMP socket for the action on a lost lock. */
unsigned int holdfast_vm_wants_monitor(const struct holdfast_vm *vm);

/* Where that socket is (absolute; NULL: none), when it is known after holdfast_vm_new. Copied. */
int holdfast_vm_set_monitor(struct holdfast_vm *vm, const char *path, struct holdfast_error *err);

/* The VM's UUID, the random one included. */
void holdfast_vm_uuid(const struct holdfast_vm *vm, unsigned char ret[HOLDFAST_UUID_SIZE]);

enum holdfast_resource_flags {
        HOLDFAST_READONLY = 1, /* the VM does not write it. Alone: not locked, as under libvirt */
        HOLDFAST_SHARED = 2    /* others may have it too, if they also ask shared: a read lock */
};

/*
 * Adds a disk (absolute path of an image or block device) or a lease to what
 * the VM uses; nothing is locked yet. The lease is the file KEY in the
 * directory PATH/LOCKSPACE for the driver lockd (lockspace may be NULL, offset
 * must be 0 there). -EEXIST if it is there already.
 */
int holdfast_vm_add_disk(struct holdfast_vm *vm, const char *path, unsigned int flags,
                         struct holdfast_error *err);
int holdfast_vm_add_lease(struct holdfast_vm *vm, const char *lockspace, const char *key,
                          const char *path, uint64_t offset, struct holdfast_error *err);

enum holdfast_start_flags {
        HOLDFAST_START_PAUSED = 1 /* lock nothing yet; holdfast_vm_resume will */
};

/*
 * To be called in the process that becomes the VMM. Connects, registers this
 * process as the owner, takes the locks (unless paused) and gives up every
 * other right on that connection. *ret_fd is the connection, or -1 if the
 * driver has none; it is the caller's, is not close-on-exec, and must stay
 * open for as long as the VM lives: closing it says that the VM has ended.
 * If any lock is refused, none is kept.
 *
 * Unless holdfast.conf says keep_descriptors = 0, other descriptors appear in the
 * process: with the driver lockd and a holdfastd a duplicate of each lock's, from number 3
 * on and not close-on-exec. They keep the disks locked while no daemon runs, and
 * may be left alone; to close them gives up no more than that.
 *
 * After a fork in a program with threads, the usual caution holds: this
 * allocates memory.
 */
int holdfast_vm_start(struct holdfast_vm *vm, unsigned int flags, int *ret_fd,
                      struct holdfast_error *err);

/*
 * Releases everything. *ret_state (may be NULL) is a string for
 * holdfast_vm_resume, to be freed with free(), or NULL if the driver has none.
 * All resources are tried, also behind one that fails. What was not held is no
 * error, and what an earlier pause has released stays in the state.
 *
 * vm remembers the state until it is resumed or started, or has another pid.
 */
int holdfast_vm_pause(struct holdfast_vm *vm, char **ret_state, struct holdfast_error *err);

/*
 * Takes everything again. state as pause or inquire gave it; NULL: the one that vm remembers;
 * "": none. All or nothing. -ESTALE and HOLDFAST_E_STALE: others have used a disk or lease since
 * that state, and what the VM believes of it may be wrong. It must not go on.
 */
int holdfast_vm_resume(struct holdfast_vm *vm, const char *state, struct holdfast_error *err);

/* The state that pause would give, releasing nothing; *ret_state as there. */
int holdfast_vm_inquire(struct holdfast_vm *vm, char **ret_state, struct holdfast_error *err);

/* Hot plug: add and lock, unlock and remove. A resource whose lock is refused is not added. */
int holdfast_vm_attach_disk(struct holdfast_vm *vm, const char *path, unsigned int flags,
                            struct holdfast_error *err);
int holdfast_vm_detach_disk(struct holdfast_vm *vm, const char *path, unsigned int flags,
                            struct holdfast_error *err);
int holdfast_vm_attach_lease(struct holdfast_vm *vm, const char *lockspace, const char *key,
                             const char *path, uint64_t offset, struct holdfast_error *err);
int holdfast_vm_detach_lease(struct holdfast_vm *vm, const char *lockspace, const char *key,
                             const char *path, uint64_t offset, struct holdfast_error *err);

/*
 * Who stood against the last call on vm that failed with -EBUSY: fills *ret
 * (its size is set by the caller) and returns 1, or returns 0 if that is not
 * known. A stock virtlockd never tells: only `resource` is then set.
 */
int holdfast_vm_refusal(const struct holdfast_vm *vm, struct holdfast_holder *ret);

/* The weakest guarantee among the locks of the last call that took any. */
unsigned int holdfast_vm_guarantee(const struct holdfast_vm *vm);

/*
 * Looks at what was added, by the VM's driver, and takes nothing: calls tell (may be NULL)
 * for each who holds some of it, and sets *ret_guarantee (may be NULL) to what a lock on all
 * of it would be worth. What would keep the VM from starting is told by warn of the parameters.
 * -EOPNOTSUPP if the driver cannot tell, as lockd: holdfast_who asks its daemon.
 */
int holdfast_vm_look(struct holdfast_vm *vm,
                     void (*tell)(void *ctx, const struct holdfast_holder *holder), void *ctx,
                     unsigned int *ret_guarantee, struct holdfast_error *err);

/* ---- the daemon ------------------------------------------------------------------------ */

/*
 * Makes sure that the session's lock daemon serves: does nothing for root
 * unless HOLDFAST_RUN_DIR is set (the system's daemon is started by the
 * system), else starts one that ends by itself when nobody has used it for two
 * minutes and it holds nothing. The program is $HOLDFAST_DAEMON or the
 * installed holdfastd. Returns 1 if it was started, 0 if one answers already or
 * root's is left to the system. -ETIMEDOUT after five seconds.
 */
int holdfast_daemon_start(unsigned int flags, struct holdfast_error *err);

struct holdfast_daemon_info {
        size_t size;
        const char *version;
        const char *host;
        pid_t pid;
        const char *socket;     /* that it was reached by */
        unsigned int read_only; /* reached by the read-only socket */
};

/* Who serves; the system's daemon, if that is all this user may ask. Free with
 * holdfast_daemon_info_free. */
int holdfast_get_daemon_info(struct holdfast_daemon_info **ret, struct holdfast_error *err);
void holdfast_daemon_info_free(struct holdfast_daemon_info *info);

/* Of holdfast_daemon_leave: only tell what stands against it. */
#define HOLDFAST_LEAVE_DRY_RUN 1u

/*
 * Makes the daemon execute a virtlockd, which goes on with its locks and virtlockd's clients. Only
 * root may ask the system's daemon for it. What stands against it is in *err, and nothing
 * is changed then. program: absolute path. Returns when the daemon has agreed.
 */
int holdfast_daemon_leave(const char *program, unsigned int flags, struct holdfast_error *err);

/* ---- who holds what -------------------------------------------------------------------- */

enum holdfast_vm_state {
        HOLDFAST_VM_ALIVE = 0,
        HOLDFAST_VM_CARRIED = 1, /* its process is dead, another has its connection open */
        HOLDFAST_VM_ENDING = 2,  /* told to end: its connection was closed with locks held */
        HOLDFAST_VM_STUBBORN = 3 /* killed and still there; it keeps its locks */
};

struct holdfast_vm_info {
        size_t size;
        const char *name;
        unsigned char uuid[HOLDFAST_UUID_SIZE];
        uint32_t id;
        pid_t pid;
        uint64_t start;     /* of the process, clock ticks since boot */
        unsigned int state; /* enum holdfast_vm_state; others may come */
        uint64_t since;     /* microseconds since the epoch */
        const char *via;
        unsigned int locks;
        size_t n_connections;
        const uint64_t *connections; /* inodes of the daemon's ends of its own connections */
        unsigned int paused;         /* by the daemon, as a lock is lost or in danger */
        unsigned int client;         /* no VM: whoever has its connection open */
};

/* What is known of the lease that a file server has given for a lock. */
enum holdfast_lease {
        HOLDFAST_LEASE_NONE = 0, /* it has none, or nobody watches it */
        HOLDFAST_LEASE_SOUND = 1,
        HOLDFAST_LEASE_DOUBTED = 2, /* the server is silent: another host may soon have it */
        HOLDFAST_LEASE_LOST = 3     /* it is held no more, and stands until it is released */
};

/* What a name leads to. */
struct holdfast_thing {
        unsigned int kind; /* 0 not known, 1 file, 2 block device */
        uint64_t dev;
        uint64_t ino; /* 0 for a block device, whose number is dev */
};

struct holdfast_lock_info {
        size_t size;
        const char *lockspace; /* directory; empty: the name is a path */
        const char *name;
        struct holdfast_thing file;  /* that carries the lock */
        struct holdfast_thing thing; /* that is protected; kind 0: only the name counts */
        unsigned int shared;
        unsigned int guarantee; /* enum holdfast_guarantee */
        uint64_t since;         /* microseconds since the epoch */
        const struct holdfast_vm_info *vm;
        unsigned int lease;    /* enum holdfast_lease */
        unsigned int metadata; /* not what is in the file is locked, but its owner, mode, labels */
};

/* A request that waits: one entry for each resource that it wants. */
struct holdfast_waiter_info {
        size_t size;
        uint64_t ticket;       /* rising in the order of asking; the same for all of a request */
        unsigned int position; /* in line for this resource; 1: next */
        const char *lockspace; /* as in struct holdfast_lock_info */
        const char *name;
        struct holdfast_thing thing;
        unsigned int shared;
        unsigned int metadata;
        uint64_t since; /* microseconds since the epoch */
        uint64_t until; /* the same; UINT64_MAX: for ever */
        const struct holdfast_vm_info *vm;
};

struct holdfast_vm_list {
        size_t size;
        size_t n;
        const struct holdfast_vm_info *const *vms;
};

struct holdfast_lock_list {
        size_t size;
        size_t n;
        const struct holdfast_lock_info *const *locks;
};

struct holdfast_waiter_list {
        size_t size;
        size_t n;
        const struct holdfast_waiter_info *const *waiters;
};

/*
 * Everything that the daemon holds; asked over holdfast-sock, or, where that is
 * not permitted, over holdfast-sock-ro. For a user with a daemon of their own
 * that is this one's, and what the system's holds where the administrator lets
 * that user look. What changes while the pages are
 * fetched may be in or out. flags must be 0. The lists and all that they point
 * to are freed by one call.
 */
int holdfast_list_vms(unsigned int flags, struct holdfast_vm_list **ret,
                      struct holdfast_error *err);
int holdfast_list_locks(unsigned int flags, struct holdfast_lock_list **ret,
                        struct holdfast_error *err);

/* Who waits, in the order of asking. A daemon that lets nobody wait has an empty list. */
int holdfast_list_waiters(unsigned int flags, struct holdfast_waiter_list **ret,
                          struct holdfast_error *err);

/*
 * Who holds path, by whatever name: the locks on it, none if it is free. A
 * relative path is taken from the current directory.
 */
int holdfast_who(const char *path, unsigned int flags, struct holdfast_lock_list **ret,
                 struct holdfast_error *err);

void holdfast_vm_list_free(struct holdfast_vm_list *list);
void holdfast_lock_list_free(struct holdfast_lock_list *list);
void holdfast_waiter_list_free(struct holdfast_waiter_list *list);

/* ---- metadata locks -------------------------------------------------------------------- */

/*
 * A file's metadata are its owner, mode, labels and attributes. Who changes them where others
 * may too, and means to change them back, takes a lock on them. It has nothing to do
 * with the lock on what is in the file: neither stands against the other.
 *
 * What is locked is the inode, whatever it is called and in whichever mount namespace: a
 * file of any type, also a directory, a socket, a device node, or one on a read-only
 * filesystem. Nothing is opened for reading or writing, so that no lock of the caller's process on
 * the file is lost. It excludes those who ask the same daemon, on this host.
 */
struct holdfast_metadata; /* locks that are held */

/* A path, absolute or not, whose symbolic links are followed; or NULL, and a descriptor. */
struct holdfast_metadata_target {
        const char *path;
        int fd;
};

/* Most files of one call, less those that are named twice. */
#define HOLDFAST_METADATA_MAX 2048

/*
 * Locks n files, all of them at once or none, in the order of asking. timeout_ms
 * is for the waiting; 0: 60 seconds; < 0: for ever; a daemon that does not answer is given ten
 * seconds more. May be called by several threads at once. Starts the session's lock daemon if
 * that is needed.
 *
 * Ask for all files by one call: each call stands for itself, so two threads or processes that ask
 * for one file while they have another, in crossed order, wait for each other until their time is
 * up.
 *
 * -EBUSY when time is up, with the holder's name in the text; -ESTALE when a path leads elsewhere
 * now than when the call began. -E2BIG, and what opening a path may give.
 *
 * The locks end with holdfast_metadata_unlock, or when nobody has their connection open any more,
 * which is closed on exec: a process that ends frees them.
 */
int holdfast_metadata_lock(const struct holdfast_metadata_target *targets, size_t n, int timeout_ms,
                           struct holdfast_metadata **ret, struct holdfast_error *err);

/* The descriptor (O_PATH) of targets[target], which is what is locked. It stays the library's. */
int holdfast_metadata_fd(const struct holdfast_metadata *held, size_t target);

/*
 * Frees the locks and the object; NULL is fine. Effective when it returns, also where other
 * processes have inherited the connection. In a process that has inherited the object by a fork it
 * frees the object only.
 */
void holdfast_metadata_unlock(struct holdfast_metadata *held);

/* ---- events and numbers ---------------------------------------------------------------- */

enum holdfast_event_kind {
        HOLDFAST_EVENT_ACQUIRED = 1,
        HOLDFAST_EVENT_WAITING = 2,
        HOLDFAST_EVENT_REFUSED = 3,
        HOLDFAST_EVENT_RELEASED = 4,
        HOLDFAST_EVENT_KILLED =
                5,               /* a VM is ended: it closed its lock connection, or lost a lock */
        HOLDFAST_EVENT_LOST = 6, /* a lock is held no more, with its file server's lease */
        HOLDFAST_EVENT_DOUBTED = 7, /* its file server is silent */
        HOLDFAST_EVENT_STARTED =
                8 /* the daemon serves, after its start or after a fault of its own */
};

/* What a kind does not have is 0 or "". Long names and texts may be cut. */
struct holdfast_event {
        size_t size;
        uint64_t number; /* rising; by one, but for what was missed, while it is one daemon */
        uint64_t missed; /* so many events before this one were lost, as they were not read in time
                          */
        uint64_t time;   /* microseconds since the epoch */
        unsigned int kind; /* enum holdfast_event_kind; others may come */
        unsigned int metadata;
        unsigned int shared;
        const char *lockspace; /* as in struct holdfast_lock_info */
        const char *name;
        const char *vm; /* the name of the VM, or of the program that is a client */
        uint8_t uuid[HOLDFAST_UUID_SIZE];
        pid_t pid;
        const char *via;
        const char *text; /* more about it, for people */
};

/* "acquired"; "unknown" for a kind that this library does not know. */
const char *holdfast_event_name(unsigned int kind);

struct holdfast_events; /* a stream of them */

/*
 * Listens to what happens from now on, or, with after, behind the event of that number: what
 * happened since then comes first, as far as the daemon still has it. Of the own daemon, or else
 * the system's. When this returns, no event is missed any more. flags: 0.
 */
int holdfast_events_open(uint64_t after, unsigned int flags, struct holdfast_events **ret,
                         struct holdfast_error *err);

/*
 * The next event: 1, and *ret, which is valid until the next call; or 0 when there was
 * none for timeout_ms (0: it does not wait; < 0: it waits for ever). -ECONNRESET: the daemon has
 * ended; open another stream, after the last number. After any failure the stream gives nothing
 * more.
 */
int holdfast_events_next(struct holdfast_events *events, int timeout_ms,
                         const struct holdfast_event **ret, struct holdfast_error *err);

/*
 * A descriptor for poll (POLLIN): when it can be read, call _next with timeout 0 until it
 * returns 0. It stays the stream's.
 */
int holdfast_events_fd(const struct holdfast_events *events);
void holdfast_events_close(struct holdfast_events *events); /* NULL is fine */

/* One number of the daemon's. */
struct holdfast_metric {
        size_t size;
        const char *name;   /* as in OpenMetrics, without a suffix */
        unsigned int gauge; /* 0: it only rises, from 0 at the daemon's start */
        uint64_t value;     /* of a name that ends in _seconds: microseconds */
        const char *help;
};

struct holdfast_metric_list {
        size_t size;
        size_t n;
        const struct holdfast_metric *const *metrics;
};

/* All numbers of the own daemon, or else of the system's. flags: 0. */
int holdfast_get_metrics(unsigned int flags, struct holdfast_metric_list **ret,
                         struct holdfast_error *err);
void holdfast_metric_list_free(struct holdfast_metric_list *list);

#ifdef __cplusplus
}
#endif

#endif
