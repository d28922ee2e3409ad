/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "driver/sanlock/sanlock.h"

#include "base/cleanup.h"
#include "base/sized.h"

#include <string.h>

static void driver_free(void *data)
{
        struct hf_sanlock_driver *driver = data;

        if (!driver)
                return;
        hf_paths_clear(&driver->paths);
        hf_sanlock_settings_clear(&driver->settings);
        free(driver);
}

static int load_settings(struct hf_sanlock_driver *driver, const char *config, struct hf_error *err)
{
        int r = hf_paths_init(&driver->paths, err);

        return r < 0 ? r
                     : hf_sanlock_settings_load(&driver->paths, config, driver->warn,
                                                driver->warn_ctx, &driver->settings, err);
}

static int driver_init(const struct hf_lock_init *init, void **ret_driver,
                       struct hf_lock_error *err)
{
        struct hf_sanlock_driver *driver;
        struct hf_error error = {0};
        int r;

        r = hf_driver_check_init("sanlock", init, err);
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
        struct hf_sanlock_vm *vm = data;

        if (!vm)
                return;
        for (size_t i = 0; i < vm->n; i++)
                hf_sanlock_lease_clear(&vm->leases[i]);
        free(vm->leases);
        hf_driver_vm_clear(&vm->who);
        free(vm->unlocked);
        free(vm);
}

static int vm_new(void *driver, const struct hf_lock_vm_params *params, void **ret_vm,
                  struct hf_lock_error *err)
{
        struct hf_sanlock_vm *vm = calloc(1, sizeof(*vm));
        int r;

        if (!vm)
                return hf_driver_no_memory(err);
        vm->driver = driver;
        r = hf_driver_vm_fill(&vm->who, "sanlock", params, err);
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
        .capabilities = HF_LOCK_CAP_STATE | HF_LOCK_CAP_CONNECTION | HF_LOCK_CAP_HOLDER |
                        HF_LOCK_CAP_LEASES | HF_LOCK_CAP_SHARED | HF_LOCK_CAP_ACTION |
                        HF_LOCK_CAP_CLIENTS,
        .name = "sanlock",
        .description = "leases on shared storage, through this host's sanlock",
        .init = driver_init,
        .deinit = driver_free,
        .vm_new = vm_new,
        .vm_free = vm_free,
        .add_resource = hf_sanlock_add_resource,
        .acquire = hf_sanlock_acquire,
        .release = hf_sanlock_release,
        .inquire = hf_sanlock_inquire,
        .look = hf_sanlock_look,
};
