/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "driver/sanlock/sanlock.h"

/* Refuses a VM with a disk that has no lease though the settings require one. */
int hf_sanlock_check_leases(const struct hf_sanlock_vm *vm, struct hf_lock_error *err);
