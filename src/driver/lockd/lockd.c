/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "driver/lockd/lockd.h"

#include "base/cleanup.h"
#include "base/sized.h"
#include "driver/lockd/uses.h"
#include "storage/names.h"

#include <string.h>

static void driver_free(void *data)
{
        struct hf_lockd_driver *driver = data;

        if (!driver)
                return;
        hf_paths_clear(&driver->paths);
        hf_lockspaces_clear(&driver->settings);
        hf_name_udev_free(driver->udev);
        free(driver->lookaside_dir);
        free(driver);
}

/* A setting that does not mean what was meant must not lock other things: all or nothing. */
static int load_settings(struct hf_lockd_driver *driver, const char *config, struct hf_error *err)
{
        int r = hf_paths_init(&driver->paths, err);

        if (r >= 0)
                r = hf_lockspaces_load(&driver->paths, config, driver->warn, driver->warn_ctx,
                                       &driver->settings, err);
        if (r < 0)
                return r;
        if (driver->settings.scsi_lockspace_dir)
                driver->udev = hf_name_udev_new();
        if (asprintf(&driver->lookaside_dir, "%s/lookaside", driver->paths.run_dir) >= 0)
                return 0;
        driver->lookaside_dir = NULL;
        return hf_error_sys(err, ENOMEM, "cannot build a path");
}

static int driver_init(const struct hf_lock_init *init, void **ret_driver,
                       struct hf_lock_error *err)
{
        struct hf_lockd_driver *driver;
        struct hf_error error = {0};
        int r;

        r = hf_driver_check_init("lockd", init, err);
        if (r < 0)
                return r;
        driver = calloc(1, sizeof(*driver));
        if (!driver)
                return hf_driver_no_memory(err);
        if (init && HF_HAS(init, warn_ctx)) {
                driver->warn = init->warn;
                driver->warn_ctx = init->warn_ctx;
        }
        r = load_settings(driver, init && HF_HAS(init, config) ? init->config : NULL, &error);
        if (r < 0) {
                driver_free(driver);
                (void)hf_driver_fail(err, r, &error);
                err->code = HF_LOCK_E_CONFIG;
                return r;
        }
        *ret_driver = driver;
        return 0;
}

static void vm_free(void *data)
{
        struct hf_lockd_vm *vm = data;

        if (!vm)
                return;
        for (size_t i = 0; i < vm->n; i++)
                hf_lockd_resource_clear(&vm->resources[i]);
        free(vm->resources);
        hf_driver_vm_clear(&vm->who);
        free(vm->unlocked);
        free(vm);
}

static int vm_new(void *driver, const struct hf_lock_vm_params *params, void **ret_vm,
                  struct hf_lock_error *err)
{
        struct hf_lockd_vm *vm = calloc(1, sizeof(*vm));
        int r;

        if (!vm)
                return hf_driver_no_memory(err);
        vm->driver = driver;
        r = hf_driver_vm_fill(&vm->who, "lockd", params, err);
        if (r < 0) {
                vm_free(vm);
                return r;
        }
        *ret_vm = vm;
        return 0;
}

/* The declaration that a module's one symbol needs to be seen outside. */
extern const struct hf_lock_driver hf_lock_driver;

__attribute__((visibility("default"))) const struct hf_lock_driver hf_lock_driver = {
        .size = sizeof(struct hf_lock_driver),
        .abi = HF_LOCK_DRIVER_ABI,
        .capabilities = HF_LOCK_CAP_CONNECTION | HF_LOCK_CAP_HOLDER | HF_LOCK_CAP_LEASES |
                        HF_LOCK_CAP_SHARED | HF_LOCK_CAP_DEADLINE | HF_LOCK_CAP_ACTION |
                        HF_LOCK_CAP_DESCRIPTORS | HF_LOCK_CAP_WAIT | HF_LOCK_CAP_CLIENTS,
        .name = "lockd",
        .description = "locks through holdfastd, or through libvirt's virtlockd",
        .init = driver_init,
        .deinit = driver_free,
        .vm_new = vm_new,
        .vm_free = vm_free,
        .add_resource = hf_lockd_add_resource,
        .acquire = hf_lockd_acquire,
        .release = hf_lockd_release,
        .inquire = hf_lockd_inquire,
};
