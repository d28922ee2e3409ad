/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The driver sanlock: leases on shared storage, by the host's sanlock daemon.
 *
 * A VM's process registers with the daemon between fork and exec. That connection, which the VMM
 * inherits, is the holder of the leases: they are given back when nobody has it open any
 * more, and it is of no other use, since it is restricted last of all. (A request on a restricted
 * connection is never answered.) All later work is done by others in the name of the pid.
 *
 * A disk's lease is that of libvirt's own plugin: named after the MD5 of the disk's path, in
 * a file of that name, in the lockspace __LIBVIRT__DISKS__. So hosts of both kinds keep each other
 * out. A lease of the user's goes through as it is.
 *
 * The library has one daemon for each process (by SANLOCK_RUN_DIR), and a connection must not be
 * used by two threads at once.
 */

#include "base/path.h"
#include "driver/sanlock/lease.h"
#include "driver/sanlock/settings.h"
#include "driver/vm.h"

#include <stdbool.h>

struct hf_sanlock_driver {
        struct hf_paths paths;
        struct hf_sanlock_settings settings;
        void (*warn)(void *ctx, const char *text); /* or NULL */
        void *warn_ctx;
};

struct hf_sanlock_vm {
        const struct hf_sanlock_driver *driver;
        struct hf_driver_vm who;
        char *unlocked; /* a disk that has no lease and would need one, or NULL */
        struct hf_sanlock_lease *leases;
        size_t n;
};

/* The callbacks. */
int hf_sanlock_add_resource(void *vm, const struct hf_lock_resource *resource,
                            struct hf_lock_error *err);
int hf_sanlock_acquire(void *vm, const struct hf_lock_acquire *acquire,
                       struct hf_lock_result *result, struct hf_lock_error *err);
int hf_sanlock_release(void *vm, char **ret_state, struct hf_lock_error *err);
int hf_sanlock_inquire(void *vm, char **ret_state, struct hf_lock_error *err);
int hf_sanlock_look(void *vm, struct hf_lock_look *look, struct hf_lock_error *err);
