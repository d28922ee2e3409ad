/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "driver/sanlock/take.h"

#include "driver/sanlock/codes.h"

int hf_sanlock_refuse(const struct hf_sanlock_take *take, const struct hf_sanlock_lease *lease,
                      int rv, struct hf_lock_error *err)
{
        if (take->holder)
                (void)snprintf(take->holder->resource, sizeof(take->holder->resource), "%s",
                               lease->label);
        return hf_sanlock_fail(err, HF_SANLOCK_ACQUIRE, rv, "cannot lock %s %s",
                               lease->made ? "disk" : "lease", lease->label);
}
