/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef HOLDFAST_LOCK_DRIVER_H
#define HOLDFAST_LOCK_DRIVER_H

/*
 * The lock driver ABI: between libholdfast and the module that takes its locks.
 *
 * A driver is a shared module that exports one symbol, `hf_lock_driver`, of type
 * struct hf_lock_driver. libholdfast opens it (RTLD_NOW | RTLD_LOCAL), checks
 * the ABI number and the structure's size, and then:
 *
 *     init                       for each VM of the program, before anything else
 *       vm_new                   for each operation on a VM
 *         add_resource ...       everything that this operation is about
 *         acquire | release | inquire    one or several
 *       vm_free
 *     deinit                     when the program lets go of that VM
 *
 * A program with several VMs has several of these beside one another.
 * An operation may be about all that a VM uses (start, pause, resume) or one
 * resource (hot plug), so a driver keeps nothing in its VM object that the next
 * operation would need; what has to last travels in the state string.
 *
 * Ownership: what a call is given belongs to the caller and is valid during
 * that call only; a driver copies what it keeps. What a driver returns through
 * a `ret_` pointer or in struct hf_lock_result belongs to the caller: strings
 * come from malloc, descriptors are open.
 *
 * Returns: 0, or a negative errno with *err filled (err is never NULL). Outputs
 * are only set on success, but for `holder` and `state` in struct hf_lock_result.
 *
 * A driver runs inside other people's processes, also between fork and exec: it
 * does not abort, log, change signal handlers, leave child processes behind or
 * start threads, and has no state outside of what init returned. Calls
 * on one VM object never overlap; calls on different ones may.
 *
 * Compatibility: the ABI number changes when something here changes its meaning
 * and modules of another number are refused. Everything else is added at the
 * end of a structure, and `size` says how far the other side goes: whoever reads
 * a structure that the other side made looks at `size` first, and takes for
 * zero what lies beyond it. Bits and enumerators may be added as well: a
 * driver refuses flags that it does not know with -EOPNOTSUPP.
 */

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

#define HF_LOCK_DRIVER_ABI 1

/* The one symbol. */
#define HF_LOCK_DRIVER_SYMBOL  "hf_lock_driver"

#define HF_LOCK_UUID_SIZE      16
#define HF_LOCK_ERROR_TEXT_MAX 1024

/* Classes of errors; enum holdfast_code has the same numbers. */
enum hf_lock_code {
        HF_LOCK_OK = 0,
        HF_LOCK_E_SYSTEM = 1,
        HF_LOCK_E_INVALID = 2,
        HF_LOCK_E_BUSY = 3,
        HF_LOCK_E_NO_DAEMON = 4,
        HF_LOCK_E_DENIED = 5,
        HF_LOCK_E_CONFIG = 6,
        HF_LOCK_E_PROTOCOL = 7,
        HF_LOCK_E_UNSUPPORTED = 8,
        HF_LOCK_E_TIMEOUT = 9,
        HF_LOCK_E_INTERNAL = 10,
        HF_LOCK_E_STALE = 11 /* used by others since the state that was given: -ESTALE */
};

struct hf_lock_error {
        size_t size;                       /* set by the caller */
        int code;                          /* enum hf_lock_code */
        int sys;                           /* positive errno, or 0 */
        char text[HF_LOCK_ERROR_TEXT_MAX]; /* complete without a prefix: who, what, which */
};

/* What a lock excludes. */
enum hf_guarantee {
        HF_GUARANTEE_NONE = 0, /* nothing, or not known */
        HF_GUARANTEE_HOST = 1,
        HF_GUARANTEE_CLUSTER_ADVISORY = 2,
        HF_GUARANTEE_CLUSTER_FENCED = 3
};

/* Who stood in the way. Empty or 0: not known. */
struct hf_lock_holder {
        size_t size; /* set by the caller */
        char name[256];
        unsigned char uuid[HF_LOCK_UUID_SIZE];
        pid_t pid;
        char host[256];
        uint64_t since; /* microseconds since the epoch */
        char via[64];
        char resource[4096]; /* as it was added */
        uint32_t shared;
        /* Of hosts that know each other by numbers: */
        uint32_t host_id;    /* 0: none */
        uint64_t generation; /* how many times that host has joined */
        char state[256]; /* for people: what is known of the holder or its host, and until when */
};

/* What a driver can do. */
enum hf_lock_capability {
        HF_LOCK_CAP_STATE = 1U << 0,      /* release and inquire give a state for acquire */
        HF_LOCK_CAP_CONNECTION = 1U << 1, /* acquire can give the VM's own connection */
        HF_LOCK_CAP_HOLDER = 1U << 2,     /* a refusal can name the holder */
        HF_LOCK_CAP_LOST = 1U << 3,       /* a lost lock is reported */
        HF_LOCK_CAP_LEASES = 1U << 4,
        HF_LOCK_CAP_SHARED = 1U << 5,
        HF_LOCK_CAP_DEADLINE = 1U << 6,    /* deadlines are kept */
        HF_LOCK_CAP_ACTION = 1U << 7,      /* failure actions are carried out by the driver */
        HF_LOCK_CAP_DESCRIPTORS = 1U << 8, /* acquire knows HF_LOCK_ACQUIRE_DESCRIPTORS */
        HF_LOCK_CAP_WAIT = 1U << 9,        /* acquire waits where it is asked to */
        HF_LOCK_CAP_CLIENTS = 1U << 10     /* a VM may be a client: HF_LOCK_VM_CLIENT */
};

struct hf_lock_init {
        size_t size;
        const char *config; /* configuration file, or NULL: the driver's usual place */
        uint32_t flags;     /* none yet */
        /*
         * May be NULL. Told, in one line without an end, of what the user should know and
         * what is no error: a key of the configuration that has no effect, a lock that is
         * worth less than it might be. Called during any call on the driver or its VMs; it
         * and its ctx are valid until deinit.
         */
        void (*warn)(void *ctx, const char *text);
        void *warn_ctx;
};

enum hf_lock_vm_flags {
        /* It has leases, which may be no part of this operation. */
        HF_LOCK_VM_HAS_LEASES = 1U << 0,
        /*
         * Its VMM takes locks of its own on whole images, and does not start where a byte
         * of one is locked: a lock has to be elsewhere.
         */
        HF_LOCK_VM_LOCKS_IMAGES = 1U << 1,
        /*
         * It is no VM: its locks belong to whoever has the connection open that acquire gives,
         * and are given back when that is closed, with nobody killed for it. Set only if the
         * driver offers HF_LOCK_CAP_CLIENTS.
         */
        HF_LOCK_VM_CLIENT = 1U << 2
};

/* The VM that an operation is for: the owner of its locks. */
struct hf_lock_vm_params {
        size_t size;
        const char *name;
        unsigned char uuid[HF_LOCK_UUID_SIZE];
        uint32_t id;         /* never 0 */
        pid_t pid;           /* of the VMM; never 0 but for inquire */
        const char *via;     /* through what this is asked, for people */
        const char *uri;     /* of the connection that manages the VM, or NULL */
        const char *monitor; /* absolute path of the VMM's QMP socket, or NULL */
        uint32_t flags;      /* enum hf_lock_vm_flags */
};

enum hf_lock_resource_type { HF_LOCK_DISK = 0, HF_LOCK_LEASE = 1 };

enum hf_lock_resource_flags {
        HF_LOCK_RESOURCE_READONLY = 1U << 0, /* alone: the driver may leave it unlocked */
        HF_LOCK_RESOURCE_SHARED = 1U << 1    /* together with others that ask shared */
};

struct hf_lock_resource {
        size_t size;
        uint32_t type;         /* enum hf_lock_resource_type */
        uint32_t flags;        /* enum hf_lock_resource_flags */
        const char *name;      /* of a disk its absolute path, of a lease its key */
        const char *path;      /* lease: where it is kept; else NULL */
        const char *lockspace; /* lease: may be NULL; else NULL */
        uint64_t offset;       /* lease: within path */
};

enum hf_lock_acquire_flags {
        /* Make the VM known and its connection, lock nothing. */
        HF_LOCK_ACQUIRE_REGISTER_ONLY = 1U << 0,
        /* When done, give up every other right on the connection that is handed out. */
        HF_LOCK_ACQUIRE_RESTRICT = 1U << 1,
        /*
         * With a connection: duplicates of the locks' descriptors are to stay open
         * in this process, not close-on-exec, so that the locks outlive those who
         * keep them. The driver says nothing more of them; it is asked for this
         * only if it offers HF_LOCK_CAP_DESCRIPTORS.
         */
        HF_LOCK_ACQUIRE_DESCRIPTORS = 1U << 2
};

/* What becomes of the VM when a lock is lost. */
enum hf_lock_action {
        HF_LOCK_ACTION_DEFAULT = 0,
        HF_LOCK_ACTION_POWEROFF = 1,
        HF_LOCK_ACTION_RESTART = 2,
        HF_LOCK_ACTION_PAUSE = 3,
        HF_LOCK_ACTION_IGNORE = 4
};

/* Of wait_until: for as long as it takes. */
#define HF_LOCK_WAIT_FOREVER UINT64_MAX

/* What an acquire waits for. The pointers are valid during the call. */
struct hf_lock_waiting {
        size_t size;
        uint32_t position;                   /* in line for the resource; 1: next; 0: not known */
        uint64_t since;                      /* when it began, microseconds since the epoch */
        const char *resource;                /* as it was added */
        const char *text;                    /* for people: why it waits */
        const struct hf_lock_holder *holder; /* as far as it is known; never NULL */
};

struct hf_lock_acquire {
        size_t size;
        uint32_t flags;  /* enum hf_lock_acquire_flags */
        uint32_t action; /* enum hf_lock_action */
        /*
         * As release gave it, or NULL; or several of them with a blank in between, of which the
         * later one counts where both speak of a resource. -ESTALE: used since.
         */
        const char *state;
        /*
         * Latest end of the call, in nanoseconds of CLOCK_MONOTONIC; 0: as the
         * driver sees fit. It is kept if HF_LOCK_CAP_DEADLINE is offered.
         */
        uint64_t deadline;
        /* Whether the caller wants the VM's own connection. It is then in the VMM. */
        uint32_t want_connection;
        uint32_t want_lost; /* whether the caller wants lost_fd */
        /*
         * May be NULL. Called by holders of lost_fd's events only, that is from
         * the driver's `dispatch`, never from a signal handler or a thread.
         */
        void (*lost)(void *ctx, const char *resource, const char *reason);
        void *lost_ctx;
        /*
         * Until when what others have is waited for, in nanoseconds of CLOCK_MONOTONIC; 0: not at
         * all. Nothing is held while it waits: all is taken at once. The deadline is moved by as
         * long as that takes. When it has run out: -EBUSY, with the holder, and
         * a text that says how long it was. Where nobody can be let wait though somebody
         * is in the way: -EOPNOTSUPP. Set only if the driver offers HF_LOCK_CAP_WAIT.
         */
        uint64_t wait_until;
        /*
         * May be NULL. Called by acquire, when it begins to wait and when what it waits for has
         * changed.
         */
        void (*waiting)(void *ctx, const struct hf_lock_waiting *waiting);
        void *waiting_ctx;
};

struct hf_lock_result {
        size_t size; /* set by the caller, who also sets both descriptors to -1 */
        int fd;      /* the VM's own connection, not close-on-exec; -1: none */
        /*
         * Becomes readable when a lock was lost, and stays so; -1: none. It is
         * valid without the VM object and in whatever process it was passed to.
         */
        int lost_fd;
        uint32_t guarantee;            /* enum hf_guarantee: of the weakest lock taken */
        struct hf_lock_holder *holder; /* may be NULL; filled when the call returns -EBUSY */
        /*
         * Of a call that was given a state and failed: what is to be added at the end of that state
         * before it is tried again, because the call itself has used some of it. NULL: nothing.
         */
        char *state;
};

/* What is known of resources before anything is taken. */
struct hf_lock_look {
        size_t size; /* set by the caller */
        uint32_t
                guarantee; /* enum hf_guarantee: set to what a lock on all of them would be worth */
        /*
         * May be NULL. Called for each who holds one of the resources that were added; `resource`
         * of the holder says which.
         */
        void (*holder)(void *ctx, const struct hf_lock_holder *holder);
        void *holder_ctx;
};

struct hf_lock_driver {
        size_t size;             /* of this structure, as the driver was compiled */
        uint32_t abi;            /* HF_LOCK_DRIVER_ABI */
        uint32_t capabilities;   /* enum hf_lock_capability */
        const char *name;        /* the file's name without its suffix */
        const char *description; /* one line */

        /* *ret_driver is handed to every other call, and to deinit. It may be set to NULL. */
        int (*init)(const struct hf_lock_init *init, void **ret_driver, struct hf_lock_error *err);
        void (*deinit)(void *driver);

        /* Nothing is connected or locked yet. *ret_vm is freed with vm_free. */
        int (*vm_new)(void *driver, const struct hf_lock_vm_params *params, void **ret_vm,
                      struct hf_lock_error *err);
        /* Frees memory and connections that were not handed out. It releases no lock. */
        void (*vm_free)(void *vm);

        /*
         * A resource of this operation. -EOPNOTSUPP when a flag, type or offset
         * cannot be served, -EINVAL when it makes no sense.
         */
        int (*add_resource)(void *vm, const struct hf_lock_resource *resource,
                            struct hf_lock_error *err);

        /*
         * Takes all resources that were added, or none: when one is refused,
         * those that this call took are released before it returns. -EBUSY when
         * another has one, with *result->holder filled as far as it is known.
         * result is never NULL.
         *
         * With register-only, or when a connection is wanted, this must be
         * called in the process that becomes the VMM.
         */
        int (*acquire)(void *vm, const struct hf_lock_acquire *acquire,
                       struct hf_lock_result *result, struct hf_lock_error *err);

        /*
         * Gives all back that were added. One that is not held is no error; one
         * that fails does not keep the rest from being released, and the first
         * failure is returned. *ret_state (ret_state may be NULL) is set to NULL
         * by a driver without states, or where nothing was held. It may be set by a call that
         * fails as well, of what was held before.
         */
        int (*release)(void *vm, char **ret_state, struct hf_lock_error *err);

        /*
         * The state that release would give. Releases nothing. What would keep an acquire
         * of the resources from being tried at all is an error here too.
         */
        int (*inquire)(void *vm, char **ret_state, struct hf_lock_error *err);

        /*
         * May be NULL. To be called when lost_fd is readable in the process that
         * called acquire: calls `lost` for each lock that is gone.
         */
        int (*dispatch)(void *vm, struct hf_lock_error *err);

        /*
         * May be NULL. Looks at the resources that were added, changes nothing, and takes nothing.
         * What would keep an acquire from being tried is told by warn, and is no error
         * here; one is that nobody could be asked, or not about one of the resources, and
         * those who hold others were told of before.
         */
        int (*look)(void *vm, struct hf_lock_look *look, struct hf_lock_error *err);
};

#ifdef __cplusplus
}
#endif

#endif
