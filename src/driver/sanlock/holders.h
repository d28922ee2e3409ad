/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Who holds a lease: which host, by what is written at the lease; whether that host is alive; and
 * if it is this one, which process and which VM.
 *
 * All of it is asked for afterwards, for words: it takes a second or two, and what it says may
 * have changed meanwhile.
 */

#include "base/path.h"
#include "driver/sanlock/daemon-status.h"
#include "driver/sanlock/lease.h"
#include "holdfast/lock-driver.h"

/* What was asked for once, for any number of leases. */
struct hf_sanlock_holders {
        const struct hf_paths *paths;
        uint64_t deadline; /* nanoseconds of CLOCK_MONOTONIC */
        pid_t self;        /* a process that is passed over; 0: none */
        bool asked;        /* the daemon; status is empty if it does not answer */
        struct hf_sanlock_daemon status;
        char lockspace[49]; /* that of the hosts */
        struct hf_sanlock_host *hosts;
        size_t n_hosts;
};

void hf_sanlock_holders_clear(struct hf_sanlock_holders *holders);

#define hf_cleanup_holders hf_cleanup(hf_sanlock_holders_clear)

/* The daemon's status; asked for the first time. NULL with *err: it does not answer. */
const struct hf_sanlock_daemon *hf_sanlock_holders_status(struct hf_sanlock_holders *holders,
                                                          struct hf_error *err);

/*
 * Calls tell for each who holds the lease. Returns how many, or what sanlock gave when the
 * lease could not be read (negative: a code of its own, as hf_sanlock_code takes it).
 */
int hf_sanlock_holders_of(struct hf_sanlock_holders *holders, const struct hf_sanlock_lease *lease,
                          void (*tell)(void *ctx, const struct hf_lock_holder *holder), void *ctx);

/*
 * The same for a refusal, which has room for one: the first in *ret. Members beyond ret->size
 * are left alone. Returns whether one was found; of what is not there *ret tells nothing.
 */
bool hf_sanlock_holder_of(struct hf_sanlock_holders *holders, const struct hf_sanlock_lease *lease,
                          struct hf_lock_holder *ret);
