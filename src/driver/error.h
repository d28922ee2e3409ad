/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Errors in the words of the driver ABI, for drivers of every kind. */

#include "base/error.h"
#include "holdfast/lock-driver.h"

/* Fills *err from an error of ours that was returned as r. Returns r. */
int hf_driver_fail(struct hf_lock_error *err, int r, const struct hf_error *error);

/* Fills *err with -number and code (enum hf_lock_code). Returns -number. */
int hf_driver_refuse(struct hf_lock_error *err, int number, int code, const char *format, ...)
        __attribute__((format(printf, 4, 5)));

int hf_driver_no_memory(struct hf_lock_error *err);
