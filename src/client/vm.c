/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "client/vm.h"

#include "base/cleanup.h"
#include "base/strv.h"
#include "client/settings.h"

#include <stdbool.h>
#include <string.h>
#include <sys/random.h>

/* What a call may take where the caller sets nothing: as the drivers' own calls. */
#define DEFAULT_TIMEOUT_MS 30000

#define DEFAULT_DRIVER     "lockd"
#define NO_LOCKS           "nop"

static const unsigned int actions[] = {
        [HOLDFAST_ON_LOST_DEFAULT] = HF_LOCK_ACTION_DEFAULT,
        [HOLDFAST_ON_LOST_WARN] = HF_LOCK_ACTION_IGNORE,
        [HOLDFAST_ON_LOST_PAUSE] = HF_LOCK_ACTION_PAUSE,
        [HOLDFAST_ON_LOST_KILL] = HF_LOCK_ACTION_POWEROFF,
};

/* Told by the files' readers and by the driver; both read holdfast.conf, and mind the same. */
static void warn(void *ctx, const char *text)
{
        struct holdfast_vm *vm = ctx;

        if (!vm->warn)
                return;
        for (size_t i = 0; i < hf_strv_len(vm->warned); i++)
                if (!strcmp(vm->warned[i], text))
                        return;
        (void)hf_strv_append(&vm->warned, text);
        vm->warn(vm->warn_ctx, text);
}

static int check_driver(const struct holdfast_vm *vm, struct holdfast_error *err)
{
        if (!(vm->flags & HOLDFAST_VM_CLIENT) ||
            (vm->driver.ops->capabilities & HF_LOCK_CAP_CLIENTS))
                return 0;
        return hf_fail(err, EOPNOTSUPP, HOLDFAST_E_UNSUPPORTED,
                       "the lock driver %s locks for VMs only, and %s is none",
                       vm->driver.ops->name, vm->name);
}

static int load_driver(struct holdfast_vm *vm, const struct holdfast_vm_params *params,
                       struct holdfast_error *err)
{
        hf_cleanup(hf_client_settings_clear) struct hf_client_settings settings = {0};
        const struct hf_lock_init init = {
                .size = sizeof(init),
                .config = params->config,
                .warn = warn,
                .warn_ctx = vm,
        };
        const char *name = params->driver;
        int r;

        /* Who wants no locks needs no settings of them. */
        if (name && !strcmp(name, NO_LOCKS))
                return hf_driver_load(name, &init, &vm->driver, err);
        r = hf_client_settings_read(params->config, warn, vm, &settings, err);
        if (r < 0)
                return r;
        if (!name)
                name = settings.lock_manager ? settings.lock_manager : DEFAULT_DRIVER;
        r = hf_driver_load(name, &init, &vm->driver, err);
        if (r >= 0)
                r = check_driver(vm, err);
        if (r < 0)
                return r;
        /* A client may go on when it has given all back, and would keep them. */
        vm->keep_descriptors = settings.keep_descriptors && !(vm->flags & HOLDFAST_VM_CLIENT) &&
                               (vm->driver.ops->capabilities & HF_LOCK_CAP_DESCRIPTORS);
        vm->wants_monitor = settings.monitor;
        if (vm->action == HF_LOCK_ACTION_DEFAULT)
                vm->action = actions[settings.on_lost + 1];
        return 0;
}

static int check_newer(const struct holdfast_vm_params *params, struct holdfast_error *err)
{
        const unsigned int known = HOLDFAST_VM_LOCKS_IMAGES | HOLDFAST_VM_CLIENT;

        if (HF_HAS(params, flags) && (params->flags & ~known))
                return hf_fail(err, EINVAL, HOLDFAST_E_INVALID, "VM %s: unknown flags 0x%x",
                               params->name, params->flags);
        return 0;
}

static int check_params(const struct holdfast_vm_params *params, struct holdfast_error *err)
{
        if (!HF_HAS(params, on_lost))
                return hf_fail(err, EINVAL, HOLDFAST_E_INVALID,
                               "struct holdfast_vm_params was not initialised (size %zu)",
                               params->size);
        if (!params->name || !params->name[0])
                return hf_fail(err, EINVAL, HOLDFAST_E_INVALID, "a VM needs a name");
        if (params->pid < 0)
                return hf_fail(err, EINVAL, HOLDFAST_E_INVALID, "VM %s: %d cannot be a pid",
                               params->name, params->pid);
        if (params->on_lost >= HF_ARRAY_LEN(actions))
                return hf_fail(err, EINVAL, HOLDFAST_E_INVALID,
                               "VM %s: there is no action %u for a lost lock", params->name,
                               params->on_lost);
        return check_newer(params, err);
}

/* A random UUID (version 4), where the caller has none. */
static int set_uuid(struct holdfast_vm *vm, const unsigned char uuid[HOLDFAST_UUID_SIZE],
                    struct holdfast_error *err)
{
        static const unsigned char none[HOLDFAST_UUID_SIZE];

        memcpy(vm->uuid, uuid, sizeof(vm->uuid));
        if (memcmp(vm->uuid, none, sizeof(none)) != 0)
                return 0;
        if (getrandom(vm->uuid, sizeof(vm->uuid), 0) != (ssize_t)sizeof(vm->uuid))
                return hf_fail(err, EIO, HOLDFAST_E_SYSTEM, "cannot make a random UUID");
        vm->uuid[6] = (unsigned char)((vm->uuid[6] & 0x0f) | 0x40);
        vm->uuid[8] = (unsigned char)((vm->uuid[8] & 0x3f) | 0x80);
        return 0;
}

/* What came later than the rest. */
static int fill_newer(struct holdfast_vm *vm, const struct holdfast_vm_params *params,
                      struct holdfast_error *err)
{
        if (HF_HAS(params, warn_ctx)) {
                vm->warn = params->warn;
                vm->warn_ctx = params->warn_ctx;
        }
        if (HF_HAS(params, flags))
                vm->flags = params->flags;
        if (HF_HAS(params, waiting_ctx)) {
                vm->wait_ms = params->wait_ms;
                vm->waiting = params->waiting;
                vm->waiting_ctx = params->waiting_ctx;
        }
        return HF_HAS(params, monitor) ? holdfast_vm_set_monitor(vm, params->monitor, err) : 0;
}

static int fill(struct holdfast_vm *vm, const struct holdfast_vm_params *params,
                struct holdfast_error *err)
{
        int r;

        vm->name = strdup(params->name);
        vm->via = strdup(params->via ? params->via : "libholdfast");
        if (!vm->name || !vm->via)
                return hf_fail_no_memory(err);
        vm->id = params->id;
        vm->pid = params->pid;
        vm->timeout_ms = params->timeout_ms ? params->timeout_ms : DEFAULT_TIMEOUT_MS;
        vm->action = actions[params->on_lost];
        vm->holder.size = sizeof(vm->holder);
        r = fill_newer(vm, params, err);
        if (r >= 0)
                r = set_uuid(vm, params->uuid, err);
        return r < 0 ? r : load_driver(vm, params, err);
}

HF_PUBLIC int holdfast_vm_new(const struct holdfast_vm_params *params, struct holdfast_vm **ret,
                              struct holdfast_error *err)
{
        struct holdfast_vm *vm;
        int r;

        r = check_params(params, err);
        if (r < 0)
                return r;
        vm = calloc(1, sizeof(*vm));
        if (!vm)
                return hf_fail_no_memory(err);
        r = fill(vm, params, err);
        if (r < 0) {
                holdfast_vm_free(vm);
                return r;
        }
        *ret = vm;
        return 0;
}

static void clear_resource(struct hf_vm_resource *resource)
{
        free(resource->name);
        free(resource->path);
        free(resource->lockspace);
}

HF_PUBLIC void holdfast_vm_free(struct holdfast_vm *vm)
{
        if (!vm)
                return;
        for (size_t i = 0; i < vm->n; i++)
                clear_resource(&vm->resources[i]);
        free(vm->resources);
        hf_driver_unload(&vm->driver);
        hf_strv_free(vm->warned);
        free(vm->name);
        free(vm->via);
        free(vm->monitor);
        hf_vm_forget_state(vm);
        free(vm);
}

void hf_vm_forget_state(struct holdfast_vm *vm)
{
        free(vm->state);
        vm->state = NULL;
}

HF_PUBLIC void holdfast_vm_set_pid(struct holdfast_vm *vm, pid_t pid)
{
        if (pid != vm->pid)
                hf_vm_forget_state(vm);
        vm->pid = pid;
}

HF_PUBLIC const char *holdfast_vm_driver(const struct holdfast_vm *vm)
{
        return vm->driver.ops->name;
}

HF_PUBLIC unsigned int holdfast_vm_wants_monitor(const struct holdfast_vm *vm)
{
        return vm->wants_monitor;
}

HF_PUBLIC int holdfast_vm_set_monitor(struct holdfast_vm *vm, const char *path,
                                      struct holdfast_error *err)
{
        char *copy = NULL;

        if (path && path[0] != '/')
                return hf_fail(err, EINVAL, HOLDFAST_E_INVALID,
                               "VM %s: the path of its monitor must be absolute, not \"%s\"",
                               vm->name, path);
        if (path) {
                copy = strdup(path);
                if (!copy)
                        return hf_fail_no_memory(err);
        }
        free(vm->monitor);
        vm->monitor = copy;
        return 0;
}

HF_PUBLIC void holdfast_vm_uuid(const struct holdfast_vm *vm, unsigned char ret[HOLDFAST_UUID_SIZE])
{
        memcpy(ret, vm->uuid, HOLDFAST_UUID_SIZE);
}

struct hf_lock_resource hf_vm_disk(const char *path, unsigned int flags)
{
        return (struct hf_lock_resource){
                .size = sizeof(struct hf_lock_resource),
                .type = HF_LOCK_DISK,
                .flags = flags,
                .name = path,
        };
}

struct hf_lock_resource hf_vm_lease(const char *lockspace, const char *key, const char *path,
                                    uint64_t offset)
{
        return (struct hf_lock_resource){
                .size = sizeof(struct hf_lock_resource),
                .type = HF_LOCK_LEASE,
                .name = key,
                .path = path,
                .lockspace = lockspace,
                .offset = offset,
        };
}

static bool same_text(const char *a, const char *b)
{
        return !strcmp(a ? a : "", b ? b : "");
}

ssize_t hf_vm_find(const struct holdfast_vm *vm, const struct hf_lock_resource *resource)
{
        for (size_t i = 0; i < vm->n; i++) {
                const struct hf_vm_resource *have = &vm->resources[i];

                if (have->type == resource->type && have->offset == resource->offset &&
                    same_text(have->name, resource->name) &&
                    same_text(have->path, resource->path) &&
                    same_text(have->lockspace, resource->lockspace))
                        return (ssize_t)i;
        }
        return -ENOENT;
}

static int check_resource(const struct hf_lock_resource *resource, struct holdfast_error *err)
{
        const unsigned int known = HOLDFAST_READONLY | HOLDFAST_SHARED;

        if (!resource->name || !resource->name[0])
                return hf_fail(err, EINVAL, HOLDFAST_E_INVALID, "a %s needs a %s",
                               resource->type == HF_LOCK_LEASE ? "lease" : "disk",
                               resource->type == HF_LOCK_LEASE ? "key" : "path");
        if (resource->flags & ~known)
                return hf_fail(err, EINVAL, HOLDFAST_E_INVALID, "disk %s: unknown flags 0x%x",
                               resource->name, resource->flags & ~known);
        if (resource->type == HF_LOCK_DISK && resource->name[0] != '/')
                return hf_fail(err, EINVAL, HOLDFAST_E_INVALID,
                               "disk %s: the path must be absolute", resource->name);
        return 0;
}

static char *copy_or_null(const char *text, bool *failed)
{
        char *copy = text ? strdup(text) : NULL;

        *failed = *failed || (text && !copy);
        return copy;
}

int hf_vm_append(struct holdfast_vm *vm, const struct hf_lock_resource *resource,
                 struct holdfast_error *err)
{
        struct hf_vm_resource *grown, added;
        bool failed = false;
        int r;

        r = check_resource(resource, err);
        if (r < 0)
                return r;
        if (hf_vm_find(vm, resource) >= 0)
                return hf_fail(err, EEXIST, HOLDFAST_E_INVALID, "VM %s has %s already", vm->name,
                               resource->name);
        grown = reallocarray(vm->resources, vm->n + 1, sizeof(*grown));
        if (!grown)
                return hf_fail_no_memory(err);
        vm->resources = grown;
        added = (struct hf_vm_resource){
                .type = resource->type,
                .flags = resource->flags,
                .offset = resource->offset,
                .name = copy_or_null(resource->name, &failed),
                .path = copy_or_null(resource->path, &failed),
                .lockspace = copy_or_null(resource->lockspace, &failed),
        };
        if (failed) {
                clear_resource(&added);
                return hf_fail_no_memory(err);
        }
        grown[vm->n++] = added;
        return 0;
}

void hf_vm_remove(struct holdfast_vm *vm, size_t index)
{
        clear_resource(&vm->resources[index]);
        vm->n--;
        memmove(&vm->resources[index], &vm->resources[index + 1],
                (vm->n - index) * sizeof(*vm->resources));
}

HF_PUBLIC int holdfast_vm_add_disk(struct holdfast_vm *vm, const char *path, unsigned int flags,
                                   struct holdfast_error *err)
{
        struct hf_lock_resource disk = hf_vm_disk(path, flags);

        return hf_vm_append(vm, &disk, err);
}

HF_PUBLIC int holdfast_vm_add_lease(struct holdfast_vm *vm, const char *lockspace, const char *key,
                                    const char *path, uint64_t offset, struct holdfast_error *err)
{
        struct hf_lock_resource lease = hf_vm_lease(lockspace, key, path, offset);

        return hf_vm_append(vm, &lease, err);
}
