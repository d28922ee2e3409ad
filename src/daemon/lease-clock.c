/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/lease-clock.h"

#define SECOND       UINT64_C(1000000)
#define PATIENCE_MAX (5 * SECOND)

/* A part of the margin: a server that answers does so within this, and acting has the rest. */
#define GRACE_PART 4

uint64_t hf_lease_usec(unsigned int seconds)
{
        uint64_t lease = seconds * SECOND;

        if (lease < HF_LEASE_MIN_USEC)
                return HF_LEASE_MIN_USEC;
        return lease < HF_LEASE_MAX_USEC ? lease : HF_LEASE_MAX_USEC;
}

uint64_t hf_lease_margin(uint64_t lease)
{
        return lease / 5 > SECOND ? lease / 5 : SECOND;
}

uint64_t hf_lease_interval(uint64_t lease)
{
        return lease / 5;
}

uint64_t hf_lease_patience(uint64_t lease)
{
        uint64_t half = hf_lease_margin(lease) / 2;

        return half < PATIENCE_MAX ? half : PATIENCE_MAX;
}

uint64_t hf_lease_deadline(const struct hf_lease_clock *clock)
{
        uint64_t margin = hf_lease_margin(clock->lease);
        uint64_t deadline = clock->last + clock->lease - margin;
        uint64_t answer_by = clock->asked + margin / GRACE_PART;

        if (clock->expired)
                return 0;
        return clock->asked && answer_by > deadline ? answer_by : deadline;
}

bool hf_lease_is_sound(const struct hf_lease_clock *clock, uint64_t now)
{
        return now < hf_lease_deadline(clock);
}
