/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "driver/lockd/lockd.h"

#include "base/cleanup.h"
#include "base/error-class.h"
#include "base/sized.h"

#include <string.h>

int hf_lockd_fail(struct hf_lock_error *err, int r, const struct hf_error *error)
{
        err->code = (int)hf_error_class(r, error);
        err->sys = error->sys;
        (void)snprintf(err->text, sizeof(err->text), "%s", error->text);
        return r;
}

int hf_lockd_refuse(struct hf_lock_error *err, int number, int code, const char *format, ...)
{
        va_list args;

        err->code = code;
        err->sys = code == HF_LOCK_E_SYSTEM ? number : 0;
        va_start(args, format);
        (void)vsnprintf(err->text, sizeof(err->text), format, args);
        va_end(args);
        return -number;
}

static int no_memory(struct hf_lock_error *err)
{
        return hf_lockd_refuse(err, ENOMEM, HF_LOCK_E_SYSTEM, "out of memory");
}

static void driver_free(void *data)
{
        struct hf_lockd_driver *driver = data;

        if (!driver)
                return;
        hf_paths_clear(&driver->paths);
        free(driver);
}

static int driver_init(const struct hf_lock_init *init, void **ret_driver,
                       struct hf_lock_error *err)
{
        struct hf_lockd_driver *driver;
        struct hf_error error = {0};
        int r;

        if (init && HF_HAS(init, flags) && init->flags)
                return hf_lockd_refuse(err, EOPNOTSUPP, HF_LOCK_E_UNSUPPORTED,
                                       "driver lockd does not know the flags 0x%x of init",
                                       init->flags);
        driver = calloc(1, sizeof(*driver));
        if (!driver)
                return no_memory(err);
        r = hf_paths_init(&driver->paths, &error);
        if (r < 0) {
                driver_free(driver);
                return hf_lockd_fail(err, r, &error);
        }
        *ret_driver = driver;
        return 0;
}

static void vm_free(void *data)
{
        struct hf_lockd_vm *vm = data;

        if (!vm)
                return;
        for (size_t i = 0; i < vm->n; i++) {
                free(vm->resources[i].label);
                free(vm->resources[i].lockspace);
                free(vm->resources[i].name);
        }
        free(vm->resources);
        free(vm->name);
        free(vm->via);
        free(vm->monitor);
        free(vm);
}

static int vm_new(void *driver, const struct hf_lock_vm_params *params, void **ret_vm,
                  struct hf_lock_error *err)
{
        struct hf_lockd_vm *vm;

        if (!params->name || !params->name[0] || params->id == 0)
                return hf_lockd_refuse(err, EINVAL, HF_LOCK_E_INVALID,
                                       "a VM needs a name and a number other than 0");
        vm = calloc(1, sizeof(*vm));
        if (!vm)
                return no_memory(err);
        vm->driver = driver;
        vm->name = strdup(params->name);
        vm->via = strdup(params->via ? params->via : "libholdfast");
        memcpy(vm->uuid, params->uuid, sizeof(vm->uuid));
        vm->id = params->id;
        vm->pid = params->pid;
        if (HF_HAS(params, monitor) && params->monitor && params->monitor[0])
                vm->monitor = strdup(params->monitor);
        if (!vm->name || !vm->via ||
            (HF_HAS(params, monitor) && params->monitor && params->monitor[0] && !vm->monitor)) {
                vm_free(vm);
                return no_memory(err);
        }
        *ret_vm = vm;
        return 0;
}

/* Where a lease is kept and by what name; a path's identity is the daemon's affair. */
static int name_lease(const struct hf_lock_resource *from, struct hf_lockd_resource *to,
                      struct hf_lock_error *err)
{
        const char *key = from->name;

        if (!from->path || from->path[0] != '/')
                return hf_lockd_refuse(err, EINVAL, HF_LOCK_E_INVALID,
                                       "lease %s: needs an absolute path, not \"%s\"", key,
                                       from->path ? from->path : "");
        if (from->offset != 0)
                return hf_lockd_refuse(err, EOPNOTSUPP, HF_LOCK_E_UNSUPPORTED,
                                       "lease %s: driver lockd keeps leases in files, the offset "
                                       "must be 0",
                                       key);
        if (strchr(key, '/') || !strcmp(key, ".") || !strcmp(key, ".."))
                return hf_lockd_refuse(err, EINVAL, HF_LOCK_E_INVALID,
                                       "lease \"%s\": a key is the name of a file and has no \"/\"",
                                       key);
        to->name = strdup(key);
        if (!from->lockspace || !from->lockspace[0])
                to->lockspace = strdup(from->path);
        else if (asprintf(&to->lockspace, "%s/%s", from->path, from->lockspace) < 0)
                to->lockspace = NULL;
        return to->name && to->lockspace ? 0 : no_memory(err);
}

static int name_disk(const struct hf_lock_resource *from, struct hf_lockd_resource *to,
                     struct hf_lock_error *err)
{
        if (from->name[0] != '/')
                return hf_lockd_refuse(err, EINVAL, HF_LOCK_E_INVALID,
                                       "disk %s: the path must be absolute", from->name);
        to->name = strdup(from->name);
        to->lockspace = strdup("");
        return to->name && to->lockspace ? 0 : no_memory(err);
}

static int append(struct hf_lockd_vm *vm, const struct hf_lock_resource *from,
                  struct hf_lock_error *err)
{
        struct hf_lockd_resource *grown, *to;
        int r;

        if (vm->n == HF_LOCKD_RESOURCES_MAX)
                return hf_lockd_refuse(err, E2BIG, HF_LOCK_E_INVALID,
                                       "VM %s has more than %d resources", vm->name,
                                       HF_LOCKD_RESOURCES_MAX);
        grown = reallocarray(vm->resources, vm->n + 1, sizeof(*grown));
        if (!grown)
                return no_memory(err);
        vm->resources = grown;
        to = &grown[vm->n];
        *to = (struct hf_lockd_resource){
                .type = from->type,
                .shared = from->flags & HF_LOCK_RESOURCE_SHARED,
                .fd = -1,
        };
        /* Counted at once, so that vm_free finds what was allocated when the rest fails. */
        vm->n++;
        to->label = strdup(from->name);
        if (!to->label)
                return no_memory(err);
        r = from->type == HF_LOCK_LEASE ? name_lease(from, to, err) : name_disk(from, to, err);
        return r;
}

static int add_resource(void *vm, const struct hf_lock_resource *resource,
                        struct hf_lock_error *err)
{
        const uint32_t known = HF_LOCK_RESOURCE_READONLY | HF_LOCK_RESOURCE_SHARED;
        struct hf_lockd_vm *to = vm;
        size_t before = to->n;
        int r;

        if (!resource->name || !resource->name[0])
                return hf_lockd_refuse(err, EINVAL, HF_LOCK_E_INVALID, "a resource needs a name");
        if (resource->type > HF_LOCK_LEASE || (resource->flags & ~known))
                return hf_lockd_refuse(err, EOPNOTSUPP, HF_LOCK_E_UNSUPPORTED,
                                       "driver lockd does not know the type %u, or the flags 0x%x, "
                                       "of %s",
                                       resource->type, resource->flags, resource->name);
        if (resource->type == HF_LOCK_LEASE && resource->flags)
                return hf_lockd_refuse(err, EOPNOTSUPP, HF_LOCK_E_UNSUPPORTED,
                                       "lease %s: driver lockd has exclusive leases only",
                                       resource->name);
        /* What is only read is not locked, as under libvirt, unless that is asked for. */
        if (resource->flags == HF_LOCK_RESOURCE_READONLY)
                return 0;
        r = append(to, resource, err);
        if (r < 0 && to->n > before) {
                struct hf_lockd_resource *half = &to->resources[--to->n];

                free(half->label);
                free(half->lockspace);
                free(half->name);
        }
        return r;
}

/* The declaration that a module's one symbol needs to be seen outside. */
extern const struct hf_lock_driver hf_lock_driver;

__attribute__((visibility("default"))) const struct hf_lock_driver hf_lock_driver = {
        .size = sizeof(struct hf_lock_driver),
        .abi = HF_LOCK_DRIVER_ABI,
        .capabilities = HF_LOCK_CAP_CONNECTION | HF_LOCK_CAP_HOLDER | HF_LOCK_CAP_LEASES |
                        HF_LOCK_CAP_SHARED | HF_LOCK_CAP_DEADLINE | HF_LOCK_CAP_ACTION |
                        HF_LOCK_CAP_DESCRIPTORS,
        .name = "lockd",
        .description = "locks through holdfastd, or through libvirt's virtlockd",
        .init = driver_init,
        .deinit = driver_free,
        .vm_new = vm_new,
        .vm_free = vm_free,
        .add_resource = add_resource,
        .acquire = hf_lockd_acquire,
        .release = hf_lockd_release,
        .inquire = hf_lockd_inquire,
};
