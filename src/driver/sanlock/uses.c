/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What an operation is about: the leases that stand for its resources.
 *
 * A file that is given by a path through symbolic links has two: that of the path, by which
 * libvirt would lock it, and that of the file itself, by which any other way to it is found out.
 * Block devices have the one only, for what their links lead to is called otherwise on other hosts.
 */
#include "driver/sanlock/sanlock.h"

#include "base/cleanup.h"
#include "driver/sanlock/uses.h"

#include <limits.h>
#include <string.h>
#include <sys/stat.h>

/* A VM with more disks than this is a mistake; virtio has room for a few hundred. */
#define LEASES_MAX 4096

static struct hf_sanlock_lease *find(const struct hf_sanlock_vm *vm,
                                     const struct hf_sanlock_lease *lease)
{
        for (size_t i = 0; i < vm->n; i++)
                if (!strcmp(vm->leases[i].key, lease->key) &&
                    !strcmp(vm->leases[i].lockspace, lease->lockspace))
                        return &vm->leases[i];
        return NULL;
}

/* Takes over *lease. One that is there is taken once, and exclusive if either is. */
static int append(struct hf_sanlock_vm *vm, struct hf_sanlock_lease *lease,
                  struct hf_lock_error *err)
{
        struct hf_sanlock_lease *there = find(vm, lease), *grown;

        if (there) {
                there->shared = there->shared && lease->shared;
                return 0;
        }
        if (vm->n == LEASES_MAX)
                return hf_driver_refuse(err, E2BIG, HF_LOCK_E_INVALID,
                                        "VM %s needs more than %d leases", vm->who.name,
                                        LEASES_MAX);
        grown = reallocarray(vm->leases, vm->n + 1, sizeof(*grown));
        if (!grown)
                return hf_driver_no_memory(err);
        vm->leases = grown;
        grown[vm->n++] = *lease;
        *lease = (struct hf_sanlock_lease){0};
        return 0;
}

/* What a path through symbolic links leads to, if that is a regular file. */
static bool is_another_name(const char *path, char real[static PATH_MAX])
{
        struct stat st;

        return realpath(path, real) && strcmp(path, real) != 0 && stat(real, &st) == 0 &&
               S_ISREG(st.st_mode);
}

static int add_name(struct hf_sanlock_vm *vm, const struct hf_lock_resource *from, const char *path,
                    struct hf_lock_error *err)
{
        hf_cleanup(hf_sanlock_lease_clear) struct hf_sanlock_lease lease = {0};
        struct hf_error error = {0};
        int r = hf_sanlock_lease_of_disk(vm->driver->settings.disk_lease_dir, path, &lease, &error);

        if (r < 0)
                return hf_driver_fail(err, r, &error);
        lease.shared = from->flags & HF_LOCK_RESOURCE_SHARED;
        if (path != from->name) {
                free(lease.label);
                lease.label = strdup(from->name);
                if (!lease.label)
                        return hf_driver_no_memory(err);
        }
        return append(vm, &lease, err);
}

static int add_disk(struct hf_sanlock_vm *vm, const struct hf_lock_resource *from,
                    struct hf_lock_error *err)
{
        char real[PATH_MAX];
        int r = add_name(vm, from, from->name, err);

        return r >= 0 && is_another_name(from->name, real) ? add_name(vm, from, real, err) : r;
}

static int add_lease(struct hf_sanlock_vm *vm, const struct hf_lock_resource *from,
                     struct hf_lock_error *err)
{
        hf_cleanup(hf_sanlock_lease_clear) struct hf_sanlock_lease lease = {0};
        struct hf_error error = {0};
        int r = hf_sanlock_lease_named(from->lockspace, from->name, from->path, from->offset,
                                       &lease, &error);

        if (r < 0)
                return hf_driver_fail(err, r, &error);
        lease.shared = from->flags & HF_LOCK_RESOURCE_SHARED;
        vm->who.flags |= HF_LOCK_VM_HAS_LEASES;
        return append(vm, &lease, err);
}

/* One that nobody locks. The first that the VM has for itself alone is kept, for the refusal. */
static int note_unlocked(struct hf_sanlock_vm *vm, const struct hf_lock_resource *from,
                         struct hf_lock_error *err)
{
        if (from->flags || vm->unlocked)
                return 0;
        vm->unlocked = strdup(from->name);
        return vm->unlocked ? 0 : hf_driver_no_memory(err);
}

int hf_sanlock_add_resource(void *data, const struct hf_lock_resource *resource,
                            struct hf_lock_error *err)
{
        const uint32_t known = HF_LOCK_RESOURCE_READONLY | HF_LOCK_RESOURCE_SHARED;
        struct hf_sanlock_vm *vm = data;

        if (!resource->name || !resource->name[0])
                return hf_driver_refuse(err, EINVAL, HF_LOCK_E_INVALID, "a resource needs a name");
        if (resource->type > HF_LOCK_LEASE || (resource->flags & ~known))
                return hf_driver_refuse(
                        err, EOPNOTSUPP, HF_LOCK_E_UNSUPPORTED,
                        "driver sanlock does not know the type %u, or the flags 0x%x, of %s",
                        resource->type, resource->flags, resource->name);
        if (resource->type == HF_LOCK_DISK && resource->name[0] != '/')
                return hf_driver_refuse(err, EINVAL, HF_LOCK_E_INVALID,
                                        "disk %s: the path must be absolute", resource->name);
        /* What is only read is not locked, as under libvirt, unless that is asked for. */
        if (resource->flags == HF_LOCK_RESOURCE_READONLY)
                return 0;
        if (resource->type == HF_LOCK_LEASE)
                return add_lease(vm, resource, err);
        return vm->driver->settings.auto_disk_leases ? add_disk(vm, resource, err)
                                                     : note_unlocked(vm, resource, err);
}

int hf_sanlock_check_leases(const struct hf_sanlock_vm *vm, struct hf_lock_error *err)
{
        if (!vm->unlocked || !vm->driver->settings.require_lease_for_disks ||
            (vm->who.flags & HF_LOCK_VM_HAS_LEASES))
                return 0;
        return hf_driver_refuse(
                err, EOPNOTSUPP, HF_LOCK_E_CONFIG,
                "VM %s has no lease, and nothing else would protect its disk %s (the driver "
                "sanlock and auto_disk_leases = 0): give it a lease, or set auto_disk_leases = 1 "
                "and host_id, or require_lease_for_disks = 0 to do without",
                vm->who.name, vm->unlocked);
}
