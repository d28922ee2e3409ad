/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * sanlock's return codes in words. A call returns 0 or more, a negative errno, or one of
 * sanlock's own codes (-200 and below); what an errno means depends on the call.
 */

#include "base/error.h"
#include "holdfast/lock-driver.h"

#include <stddef.h>

/* What was asked for. */
enum hf_sanlock_call {
        HF_SANLOCK_REGISTER,
        HF_SANLOCK_ACQUIRE,
        HF_SANLOCK_RELEASE,
        HF_SANLOCK_INQUIRE,
        HF_SANLOCK_JOIN,
        HF_SANLOCK_LEAVE,
        HF_SANLOCK_FORMAT,
        HF_SANLOCK_READ,
        HF_SANLOCK_HOSTS,
        HF_SANLOCK_SETUP, /* killpath, restrict */
};

struct hf_sanlock_code {
        int number;       /* positive errno, for the caller */
        int code;         /* enum hf_lock_code */
        const char *text; /* what it means, to follow "WHAT: "; and what to do */
};

/* What the return value means that call gave. Never NULL; the entry stays. */
const struct hf_sanlock_code *hf_sanlock_code(enum hf_sanlock_call call, int rv);

/*
 * Fills *err from it: "WHAT: TEXT (sanlock: NUMBER)". WHAT is from format. Returns
 * a negative errno.
 */
int hf_sanlock_fail(struct hf_lock_error *err, enum hf_sanlock_call call, int rv,
                    const char *format, ...) __attribute__((format(printf, 4, 5)));
