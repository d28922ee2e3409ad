/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The clock of a lease: until when the locks of a filesystem are surely ours.
 *
 * A request that the server has answered was heard by it at some time after it was sent.
 * Nobody else can have the locks before a whole lease has passed from then on. So
 * what counts is when the last answered question was sent; when its answer came does
 * not. A margin before the end is for acting: what is to be stopped has to have stopped
 * by then.
 *
 *      sent                       deadline            end of the lease
 *       |-- nothing is to be feared --|-- the margin --|
 *
 * One thing looks like a server that is silent and is none: a daemon that did not run
 * and has not asked. Where the first question since the last answer was sent only near the
 * deadline, or later, it is therefore given a short time of its own; not where the kernel
 * says that the lease has ended, or the machine has slept, and not a second time.
 *
 * Arithmetic alone. All times are in microseconds of CLOCK_BOOTTIME, which counts while
 * the machine sleeps, as the server's clock does.
 */

#include <stdbool.h>
#include <stdint.h>

/* What a server has that was not asked, or says nothing: Linux's default is 90 s. */
#define HF_LEASE_MIN_USEC (UINT64_C(5) * 1000000)
#define HF_LEASE_MAX_USEC (UINT64_C(3600) * 1000000)

struct hf_lease_clock {
        uint64_t lease; /* how long it lasts */
        uint64_t last;  /* when the last question was sent that was answered */
        uint64_t asked; /* when the first one after that was sent; 0: there was none */
        bool expired;   /* the kernel says so, or the machine has slept since */
};

/* Seconds as the kernel has them, within what is believed. */
uint64_t hf_lease_usec(unsigned int seconds);

/* The time for acting: a fifth of the lease, and a second at least. */
uint64_t hf_lease_margin(uint64_t lease);

/* Between two questions: a fifth of the lease, so that several fit before the deadline. */
uint64_t hf_lease_interval(uint64_t lease);

/* How long a VM's monitor may take to stop it: half of the margin, and a few seconds at most. */
uint64_t hf_lease_patience(uint64_t lease);

/* Whether the locks are surely ours at that moment. */
bool hf_lease_is_sound(const struct hf_lease_clock *clock, uint64_t now);

/* From when on they will not be, if no answer comes. */
uint64_t hf_lease_deadline(const struct hf_lease_clock *clock);
