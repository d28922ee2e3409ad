/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * How long things take in a lockspace, from its I/O timeout i, the time w after which a
 * watchdog resets a host, and the grace g between the first signal and SIGKILL. All in seconds.
 */

#include "driver/sanlock/daemon-status.h"

struct hf_sanlock_timing {
        unsigned int renewal;     /* 2i: between renewals of a host's lease */
        unsigned int warning;     /* 6i */
        unsigned int failed;      /* 8i: the lockspace has failed, its VMs are acted on */
        unsigned int kill;        /* 8i+g: SIGKILL */
        unsigned int reset;       /* 8i+w: the host is reset by now */
        unsigned int join;        /* 2i+1: a host with a free number */
        unsigned int join_again;  /* 8i+w+2i+1: after a crash, under another name */
        unsigned int join_in_use; /* 8i+w+1: until a number in use is refused */
        unsigned int request;     /* 4i: a request reaches the holder */
};

struct hf_sanlock_timing hf_sanlock_timing(unsigned int io_timeout, unsigned int watchdog_fire,
                                           unsigned int grace);

/*
 * In how many seconds, at most, the leases of a host that fails can be had, if it stays silent; 0:
 * now. now in seconds of CLOCK_MONOTONIC. UINT_MAX of one that is alive, or of which that is not
 * known.
 */
unsigned int hf_sanlock_available_in(const struct hf_sanlock_host *host, unsigned int watchdog_fire,
                                     uint64_t now);

/* "host 2 (beta, generation 3) is alive", "... is lost: available in 34 s". text has room for size.
 */
void hf_sanlock_host_words(const struct hf_sanlock_host *host, unsigned int watchdog_fire,
                           uint64_t now, char *text, size_t size);
