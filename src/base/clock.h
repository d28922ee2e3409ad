/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The kernel's clocks as plain numbers. They never fail, for clocks that every Linux has. */

#include <stdint.h>
#include <time.h>

/* Of a clock such as CLOCK_MONOTONIC, now: in nanoseconds, microseconds, milliseconds. */
static inline uint64_t hf_clock_nsec(clockid_t which)
{
        struct timespec now;

        (void)clock_gettime(which, &now);
        return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static inline uint64_t hf_clock_usec(clockid_t which)
{
        return hf_clock_nsec(which) / 1000;
}

static inline int64_t hf_clock_msec(clockid_t which)
{
        return (int64_t)(hf_clock_nsec(which) / 1000000);
}
