/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What every driver has to know of a VM, and of whoever asks for it. */

#include "driver/error.h"

#include <stdbool.h>

/* Whose locks they are; a copy of struct hf_lock_vm_params. */
struct hf_driver_vm {
        char *name;
        char *via;
        unsigned char uuid[HF_LOCK_UUID_SIZE];
        uint32_t id;
        pid_t pid;
        char *monitor;  /* path of its QMP socket, or NULL */
        uint32_t flags; /* enum hf_lock_vm_flags */
};

/* Refuses flags of init, which none knows yet. driver is its name; init may be NULL. */
int hf_driver_check_init(const char *driver, const struct hf_lock_init *init,
                         struct hf_lock_error *err);

/* Checks and copies params. Clear *ret with hf_driver_vm_clear, also after a failure. */
int hf_driver_vm_fill(struct hf_driver_vm *ret, const char *driver,
                      const struct hf_lock_vm_params *params, struct hf_lock_error *err);
void hf_driver_vm_clear(struct hf_driver_vm *vm);

/*
 * Whether this process may ask: a start is asked for by the VM's own process, whose connection it
 * makes; everything else by another one, that manages it.
 */
int hf_driver_check_caller(const struct hf_driver_vm *vm, bool start, struct hf_lock_error *err);
