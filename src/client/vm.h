/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The VM object: who the VM is, what it uses, and the driver that locks it.
 *
 * It remembers resources, not locks: what is held is known to the daemon, or
 * whoever the driver asks, and may have been taken by another process.
 */

#include "client/loader.h"

#include <stdbool.h>

struct hf_vm_resource {
        unsigned int type;  /* enum hf_lock_resource_type */
        unsigned int flags; /* enum hf_lock_resource_flags */
        uint64_t offset;
        char *name;
        char *path;
        char *lockspace;
};

struct holdfast_vm {
        struct hf_driver driver;
        char *name;
        char *via;
        char *monitor; /* path of its socket; NULL: none is known */
        unsigned char uuid[HOLDFAST_UUID_SIZE];
        uint32_t id;
        pid_t pid;
        int timeout_ms;      /* < 0: none */
        unsigned int action; /* enum hf_lock_action */
        bool keep_descriptors;
        bool wants_monitor;
        unsigned int flags; /* enum holdfast_vm_flags */

        void (*warn)(void *ctx, const char *text); /* or NULL */
        void *warn_ctx;
        char **warned; /* what was said, see strv.h: nothing is said twice */

        int wait_ms;                                                        /* < 0: for ever */
        void (*waiting)(void *ctx, const struct holdfast_waiting *waiting); /* or NULL */
        void *waiting_ctx;

        struct hf_vm_resource *resources;
        size_t n;

        char *state;            /* of what was given back and is to be taken again; or NULL */
        unsigned int guarantee; /* of the last acquire */
        bool refused;           /* the last call ended with -EBUSY */
        struct hf_lock_holder holder;
};

/*
 * A resource as the driver gets it; its strings belong to someone else. Size
 * is set.
 */
struct hf_lock_resource hf_vm_disk(const char *path, unsigned int flags);
struct hf_lock_resource hf_vm_lease(const char *lockspace, const char *key, const char *path,
                                    uint64_t offset);

/* The index of that resource in vm, or -ENOENT. Flags do not count. */
ssize_t hf_vm_find(const struct holdfast_vm *vm, const struct hf_lock_resource *resource);

/* Adds a copy at the end. -EEXIST if vm has it. */
int hf_vm_append(struct holdfast_vm *vm, const struct hf_lock_resource *resource,
                 struct holdfast_error *err);

void hf_vm_remove(struct holdfast_vm *vm, size_t index);

void hf_vm_forget_state(struct holdfast_vm *vm);
