/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "driver/lockd/uses.h"

#include "base/cleanup.h"
#include "storage/names.h"

#include <string.h>
#include <sys/stat.h>

/* As a call to the daemon, where the caller sets nothing. */
#define NAMING_TIMEOUT_NS (30 * 1000000000ULL)

void hf_lockd_resource_clear(struct hf_lockd_resource *resource)
{
        free(resource->label);
        free(resource->lockspace);
        free(resource->name);
}

/* Where a lease is kept and by what name; a path's identity is the daemon's affair. */
static int name_lease(const struct hf_lock_resource *from, struct hf_lockd_resource *to,
                      struct hf_lock_error *err)
{
        const char *key = from->name;

        if (!from->path || from->path[0] != '/')
                return hf_driver_refuse(err, EINVAL, HF_LOCK_E_INVALID,
                                        "lease %s: needs an absolute path, not \"%s\"", key,
                                        from->path ? from->path : "");
        if (from->offset != 0)
                return hf_driver_refuse(err, EOPNOTSUPP, HF_LOCK_E_UNSUPPORTED,
                                        "lease %s: driver lockd keeps leases in files, the offset "
                                        "must be 0",
                                        key);
        if (strchr(key, '/') || !strcmp(key, ".") || !strcmp(key, ".."))
                return hf_driver_refuse(
                        err, EINVAL, HF_LOCK_E_INVALID,
                        "lease \"%s\": a key is the name of a file and has no \"/\"", key);
        to->name = strdup(key);
        if (!from->lockspace || !from->lockspace[0])
                to->lockspace = strdup(from->path);
        else if (asprintf(&to->lockspace, "%s/%s", from->path, from->lockspace) < 0)
                to->lockspace = NULL;
        return to->name && to->lockspace ? 0 : hf_driver_no_memory(err);
}

static int check_disk(const struct hf_lock_resource *from, struct hf_lock_error *err)
{
        if (from->name[0] == '/')
                return 0;
        return hf_driver_refuse(err, EINVAL, HF_LOCK_E_INVALID,
                                "disk %s: the path must be absolute", from->name);
}

static int fill(const struct hf_lock_resource *from, struct hf_lockd_resource *to,
                struct hf_lock_error *err)
{
        *to = (struct hf_lockd_resource){
                .type = from->type,
                .shared = from->flags & HF_LOCK_RESOURCE_SHARED,
                .readonly = from->flags & HF_LOCK_RESOURCE_READONLY,
                .fd = -1,
        };
        to->label = strdup(from->name);
        if (!to->label)
                return hf_driver_no_memory(err);
        return from->type == HF_LOCK_LEASE ? name_lease(from, to, err) : check_disk(from, err);
}

static int append(struct hf_lockd_vm *vm, const struct hf_lock_resource *from,
                  struct hf_lock_error *err)
{
        struct hf_lockd_resource *grown;
        int r;

        if (vm->n == HF_LOCKD_RESOURCES_MAX)
                return hf_driver_refuse(err, E2BIG, HF_LOCK_E_INVALID,
                                        "VM %s has more than %d resources", vm->who.name,
                                        HF_LOCKD_RESOURCES_MAX);
        grown = reallocarray(vm->resources, vm->n + 1, sizeof(*grown));
        if (!grown)
                return hf_driver_no_memory(err);
        vm->resources = grown;
        r = fill(from, &grown[vm->n], err);
        if (r < 0) {
                hf_lockd_resource_clear(&grown[vm->n]);
                return r;
        }
        vm->n++;
        return 0;
}

/* One that nobody locks. The first that the VM has for itself alone is kept, for the refusal. */
static int note_unlocked(struct hf_lockd_vm *vm, const struct hf_lock_resource *from,
                         struct hf_lock_error *err)
{
        int r = check_disk(from, err);

        if (r < 0 || from->flags || vm->unlocked)
                return r;
        vm->unlocked = strdup(from->name);
        return vm->unlocked ? 0 : hf_driver_no_memory(err);
}

int hf_lockd_add_resource(void *data, const struct hf_lock_resource *resource,
                          struct hf_lock_error *err)
{
        const uint32_t known = HF_LOCK_RESOURCE_READONLY | HF_LOCK_RESOURCE_SHARED;
        struct hf_lockd_vm *vm = data;

        if (!resource->name || !resource->name[0])
                return hf_driver_refuse(err, EINVAL, HF_LOCK_E_INVALID, "a resource needs a name");
        if (resource->type > HF_LOCK_LEASE || (resource->flags & ~known))
                return hf_driver_refuse(
                        err, EOPNOTSUPP, HF_LOCK_E_UNSUPPORTED,
                        "driver lockd does not know the type %u, or the flags 0x%x, "
                        "of %s",
                        resource->type, resource->flags, resource->name);
        if (resource->type == HF_LOCK_LEASE && resource->flags)
                return hf_driver_refuse(err, EOPNOTSUPP, HF_LOCK_E_UNSUPPORTED,
                                        "lease %s: driver lockd has exclusive leases only",
                                        resource->name);
        /* What is only read is not locked, as under libvirt, unless that is asked for. */
        if (resource->flags == HF_LOCK_RESOURCE_READONLY)
                return 0;
        if (resource->type == HF_LOCK_LEASE)
                vm->who.flags |= HF_LOCK_VM_HAS_LEASES;
        else if (!vm->driver->settings.auto_disk_leases)
                return note_unlocked(vm, resource, err);
        return append(vm, resource, err);
}

/* ---- names ------------------------------------------------------------------------------- */

/* Which setting a directory comes from, for people. */
static const char *key_of(const struct hf_lockd_vm *vm, const char *dir)
{
        const struct hf_lockspaces *settings = &vm->driver->settings;

        return dir == settings->lvm_lockspace_dir    ? "lvm_lockspace_dir"
               : dir == settings->scsi_lockspace_dir ? "scsi_lockspace_dir"
               : dir == settings->file_lockspace_dir ? "file_lockspace_dir"
                                                     : NULL;
}

/* A VMM that only reads has read locks, beside which ours is none in its way. */
static bool needs_lookaside(const struct hf_lockd_vm *vm, const struct hf_lockd_resource *resource)
{
        return (vm->who.flags & HF_LOCK_VM_LOCKS_IMAGES) && resource->type == HF_LOCK_DISK &&
               !resource->readonly;
}

static int name_disk(const struct hf_lockd_vm *vm, struct hf_lockd_resource *resource,
                     uint64_t deadline, struct hf_error *err)
{
        const struct hf_lockspaces *settings = &vm->driver->settings;
        struct hf_name_dirs dirs = {
                .file = settings->file_lockspace_dir,
                .lvm = settings->lvm_lockspace_dir,
                .scsi = settings->scsi_lockspace_dir,
                .udev = vm->driver->udev,
        };
        struct hf_name name;
        int r;

        if (!dirs.file && needs_lookaside(vm, resource))
                dirs.file = vm->driver->lookaside_dir;
        r = hf_name_of_disk(&dirs, resource->label, deadline, &name, err);
        if (r < 0)
                return r;
        resource->lockspace = strdup(name.lockspace);
        if (!resource->lockspace) {
                free(name.text);
                return hf_error_sys(err, ENOMEM, "out of memory");
        }
        resource->name = name.text;
        resource->dir_key = key_of(vm, name.lockspace);
        return 0;
}

uint64_t hf_lockd_naming_deadline(void)
{
        return hf_lockd_now() + NAMING_TIMEOUT_NS;
}

int hf_lockd_name(struct hf_lockd_vm *vm, size_t i, uint64_t deadline, struct hf_error *err)
{
        struct hf_lockd_resource *resource = &vm->resources[i];
        int r;

        if (resource->name)
                return 0;
        r = name_disk(vm, resource, deadline, err);
        if (r >= 0)
                return 0;
        hf_error_prefix(err, "cannot find the name to lock disk %s by", resource->label);
        /* The settings ask for what this machine has not got. */
        if (err && r != -ETIMEDOUT && r != -ENOMEM)
                err->code = HF_ERR_CONFIG_UNSUPPORTED;
        return r;
}

/* ---- what does not depend on a daemon ------------------------------------------------------ */

int hf_lockd_check_leases(const struct hf_lockd_vm *vm, struct hf_error *err)
{
        const struct hf_lockspaces *settings = &vm->driver->settings;

        if (!vm->unlocked || !settings->require_lease_for_disks ||
            (vm->who.flags & HF_LOCK_VM_HAS_LEASES))
                return 0;
        return hf_error_set(err, EOPNOTSUPP, HF_ERR_CONFIG_UNSUPPORTED, HF_FROM_LOCKING,
                            "VM %s has no lease, and nothing else would protect its disk %s "
                            "(auto_disk_leases = 0): give it a lease, or set auto_disk_leases = 1, "
                            "or require_lease_for_disks = 0 to do without",
                            vm->who.name, vm->unlocked);
}

static int check_directory(const char *path, const char *key, struct hf_error *err)
{
        struct stat st;
        bool wrong;

        if (!path)
                return 0;
        /* The daemon makes one that is missing. */
        wrong = stat(path, &st) < 0 ? errno == ENOTDIR : !S_ISDIR(st.st_mode);
        if (!wrong)
                return 0;
        return hf_error_set(err, ENOTDIR, HF_ERR_CONFIG_UNSUPPORTED, HF_FROM_LOCKING,
                            "the lockspace directory %s (%s) cannot be used: it is no directory",
                            path, key);
}

int hf_lockd_check_directories(const struct hf_lockd_vm *vm, struct hf_error *err)
{
        const struct hf_lockspaces *settings = &vm->driver->settings;
        const char *const dirs[] = {settings->file_lockspace_dir, settings->lvm_lockspace_dir,
                                    settings->scsi_lockspace_dir};
        int r = 0;

        for (size_t i = 0; settings->auto_disk_leases && i < HF_ARRAY_LEN(dirs) && r >= 0; i++)
                r = check_directory(dirs[i], key_of(vm, dirs[i]), err);
        return r;
}

void hf_lockd_tell_of_lookaside(const struct hf_lockd_vm *vm)
{
        const struct hf_lockd_driver *driver = vm->driver;
        char text[HF_ERROR_TEXT_MAX];

        if (!driver->warn || driver->settings.file_lockspace_dir)
                return;
        for (size_t i = 0; i < vm->n; i++) {
                if (!needs_lookaside(vm, &vm->resources[i]))
                        continue;
                (void)snprintf(text, sizeof(text),
                               "the VM monitor locks whole images itself, so their locks are kept "
                               "in %s, for this host alone (see file_lockspace_dir)",
                               driver->lookaside_dir);
                driver->warn(driver->warn_ctx, text);
                return;
        }
}
