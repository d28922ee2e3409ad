/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The driver lockd: locks through holdfastd, or through a stock virtlockd.
 *
 * Each operation makes its own connection, registers the VM as the owner of
 * what follows, and closes it again. Only the connection that the VMM itself
 * makes when it starts stays open, for the daemon takes its end for the VM's.
 * For the same reason nothing but that start may be asked for by the VMM
 * itself: the daemon would take the end of that short connection for the VM's
 * end, and kill it.
 *
 * Which daemon it is shows when it is greeted: holdfastd answers, virtlockd
 * knows no such program. To holdfastd goes the identity of what a path leads
 * to, and from it comes who stands in the way; to virtlockd go paths.
 */

#include "base/error.h"
#include "base/path.h"
#include "driver/vm.h"
#include "holdfast/lock-driver.h"
#include "rpc/caller.h"
#include "storage/lockspaces.h"

#include <stdbool.h>

/* A VM with more disks than this is a mistake; virtio has room for a few hundred. */
#define HF_LOCKD_RESOURCES_MAX 4096

struct hf_lockd_driver {
        struct hf_paths paths;
        struct hf_lockspaces settings;
        struct hf_name_udev *udev;                 /* where there is a use for it */
        char *lookaside_dir;                       /* where none is set and one is needed */
        void (*warn)(void *ctx, const char *text); /* or NULL */
        void *warn_ctx;
};

struct hf_lockd_resource {
        uint32_t type;
        bool shared;
        bool readonly;
        char *label;         /* as it was added: of a disk its path */
        char *lockspace;     /* directory; empty: name is a path; NULL with name */
        char *name;          /* NULL: not looked for yet */
        const char *dir_key; /* the setting that the directory comes from, or NULL */
        bool taken;          /* by the acquire that is under way */
        int fd;              /* a duplicate of its lock, from that acquire; -1: none */
};

struct hf_lockd_vm {
        const struct hf_lockd_driver *driver;
        struct hf_driver_vm who;
        char *unlocked; /* a disk that is not locked and would have to be, or NULL */
        struct hf_lockd_resource *resources;
        size_t n;
};

struct hf_lockd_connection {
        struct hf_caller caller;
        uint64_t deadline; /* nanoseconds of CLOCK_MONOTONIC; 0: the usual limit per call */
        bool ours;         /* holdfastd, which knows the HOLDFAST program */
        bool duplicates;   /* duplicates of the locks' descriptors are wanted */
        char host[256];    /* of the daemon, if it said */
};

#define HF_LOCKD_CONNECTION_INIT                                                                   \
        {                                                                                          \
                .caller = HF_CALLER_INIT                                                           \
        }

void hf_lockd_connection_done(struct hf_lockd_connection *connection);

#define hf_cleanup_connection hf_cleanup(hf_lockd_connection_done)

/*
 * Connects to the first daemon that answers and registers the VM there.
 * connection->deadline is set by the caller. *ret_no_daemon tells that nobody
 * answered.
 */
int hf_lockd_connect(struct hf_lockd_connection *connection, const struct hf_lockd_vm *vm,
                     bool *ret_no_daemon, struct hf_error *err);

/* From here on the daemon refuses whatever is asked on this connection. */
int hf_lockd_restrict(struct hf_lockd_connection *connection, struct hf_error *err);

/*
 * Says, on the VM's own connection to a holdfastd, what becomes of the VM when a lock is lost (enum
 * hf_lock_action) and by what monitor. A daemon that does not know the call is no error.
 */
int hf_lockd_guard(struct hf_lockd_connection *connection, const struct hf_lockd_vm *vm,
                   unsigned int action, struct hf_error *err);

/*
 * One resource. -EBUSY: another has it, and *holder (may be NULL) is filled as
 * far as the daemon tells. On success *ret_guarantee is what the lock is worth,
 * resource->taken whether it was not the VM's before, and resource->fd a duplicate
 * of it, close-on-exec, if the connection wants those and the daemon gives one.
 */
int hf_lockd_take(struct hf_lockd_connection *connection, struct hf_lockd_resource *resource,
                  unsigned int *ret_guarantee, struct hf_lock_holder *holder, struct hf_error *err);

/* Makes the resource's directory known to the daemon, which makes it if it is not there. */
int hf_lockd_announce(struct hf_lockd_connection *connection,
                      const struct hf_lockd_resource *resource, struct hf_error *err);

/* What is not held is no error. */
int hf_lockd_give(struct hf_lockd_connection *connection, const struct hf_lockd_resource *resource,
                  struct hf_error *err);

/* Nanoseconds of CLOCK_MONOTONIC. */
uint64_t hf_lockd_now(void);

/* The callbacks. */
int hf_lockd_acquire(void *vm, const struct hf_lock_acquire *acquire, struct hf_lock_result *result,
                     struct hf_lock_error *err);
int hf_lockd_release(void *vm, char **ret_state, struct hf_lock_error *err);
int hf_lockd_inquire(void *vm, char **ret_state, struct hf_lock_error *err);
