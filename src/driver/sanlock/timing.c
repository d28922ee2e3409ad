/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "driver/sanlock/timing.h"

#include <limits.h>
#include <stdio.h>

struct hf_sanlock_timing hf_sanlock_timing(unsigned int io_timeout, unsigned int watchdog_fire,
                                           unsigned int grace)
{
        unsigned int failed = 8 * io_timeout, join = 2 * io_timeout + 1;

        return (struct hf_sanlock_timing){
                .renewal = 2 * io_timeout,
                .warning = 6 * io_timeout,
                .failed = failed,
                .kill = failed + grace,
                .reset = failed + watchdog_fire,
                .join = join,
                .join_again = failed + watchdog_fire + join,
                .join_in_use = failed + watchdog_fire + 1,
                .request = 4 * io_timeout,
        };
}

unsigned int hf_sanlock_available_in(const struct hf_sanlock_host *host, unsigned int watchdog_fire,
                                     uint64_t now)
{
        uint64_t end;

        switch (host->state) {
        case HF_SANLOCK_HOST_FREE:
        case HF_SANLOCK_HOST_DEAD:
                return 0;
        case HF_SANLOCK_HOST_FAIL:
                end = host->last_live + hf_sanlock_timing(host->io_timeout, watchdog_fire, 0).reset;
                return end > now ? (unsigned int)(end - now) : 0;
        default:
                return UINT_MAX;
        }
}

void hf_sanlock_host_words(const struct hf_sanlock_host *host, unsigned int watchdog_fire,
                           uint64_t now, char *text, size_t size)
{
        unsigned int wait = hf_sanlock_available_in(host, watchdog_fire, now);
        char who[160];

        (void)snprintf(who, sizeof(who), "host %llu (%s%sgeneration %llu)",
                       (unsigned long long)host->id, host->name, *host->name ? ", " : "",
                       (unsigned long long)host->generation);
        if (host->state == HF_SANLOCK_HOST_LIVE)
                (void)snprintf(text, size, "%s is alive", who);
        else if (wait == UINT_MAX)
                (void)snprintf(text, size, "%s has not been heard of yet", who);
        else if (wait == 0)
                (void)snprintf(text, size, "%s is gone: available now", who);
        else
                (void)snprintf(text, size, "%s is lost: available in %u s", who, wait);
}
