/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * libholdfast, inside: what its parts share.
 *
 * The library is a thin body between public structures and two others: lock
 * drivers (loader.h), which take the locks, and the daemon (query.c), which is
 * asked who has them. It adds no rules of its own about locks.
 */

#include "base/error.h"
#include "base/sized.h"
#include "holdfast/holdfast.h"
#include "holdfast/lock-driver.h"

/* Put before the definition of each function of holdfast.h. */
#define HF_PUBLIC __attribute__((visibility("default")))

/* Fills *err (if not NULL) and returns -number; number is a positive errno. */
int hf_fail(struct holdfast_error *err, int number, int code, const char *format, ...)
        __attribute__((format(printf, 4, 5)));

/* As hf_fail, from an error of ours or of a driver that came with the return value r. */
int hf_fail_from(struct holdfast_error *err, int r, const struct hf_error *error);
int hf_fail_from_driver(struct holdfast_error *err, int r, const struct hf_lock_error *error);

/* -ENOMEM with its text. */
int hf_fail_no_memory(struct holdfast_error *err);
