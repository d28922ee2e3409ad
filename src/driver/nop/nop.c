/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "driver/nop/nop.h"

static int nop_init(const struct hf_lock_init *init, void **ret_driver, struct hf_lock_error *err)
{
        (void)init;
        (void)err;
        *ret_driver = NULL;
        return 0;
}

static void nop_deinit(void *driver)
{
        (void)driver;
}

static int nop_vm_new(void *driver, const struct hf_lock_vm_params *params, void **ret_vm,
                      struct hf_lock_error *err)
{
        (void)driver;
        (void)params;
        (void)err;
        *ret_vm = NULL;
        return 0;
}

static void nop_vm_free(void *vm)
{
        (void)vm;
}

static int nop_add_resource(void *vm, const struct hf_lock_resource *resource,
                            struct hf_lock_error *err)
{
        (void)vm;
        (void)resource;
        (void)err;
        return 0;
}

static int nop_acquire(void *vm, const struct hf_lock_acquire *acquire,
                       struct hf_lock_result *result, struct hf_lock_error *err)
{
        (void)vm;
        (void)acquire;
        (void)err;
        result->fd = -1;
        result->lost_fd = -1;
        result->guarantee = HF_GUARANTEE_NONE;
        return 0;
}

static int nop_state(void *vm, char **ret_state, struct hf_lock_error *err)
{
        (void)vm;
        (void)err;
        if (ret_state)
                *ret_state = NULL;
        return 0;
}

const struct hf_lock_driver hf_nop_driver = {
        .size = sizeof(struct hf_lock_driver),
        .abi = HF_LOCK_DRIVER_ABI,
        .capabilities = HF_LOCK_CAP_LEASES | HF_LOCK_CAP_SHARED | HF_LOCK_CAP_DEADLINE |
                        HF_LOCK_CAP_WAIT | HF_LOCK_CAP_CLIENTS,
        .name = "nop",
        .description = "locks nothing",
        .init = nop_init,
        .deinit = nop_deinit,
        .vm_new = nop_vm_new,
        .vm_free = nop_vm_free,
        .add_resource = nop_add_resource,
        .acquire = nop_acquire,
        .release = nop_state,
        .inquire = nop_state,
};
