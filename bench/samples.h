/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Times, and what is said about many of them.
 *
 * Every single answer time is kept (8 bytes each) and sorted at the end: a
 * histogram would be smaller, but its buckets are coarser than the differences
 * that are looked for.
 */

#include <stddef.h>
#include <stdint.h>

struct samples {
        uint64_t *ns;
        size_t count;
        size_t room;
};

/* Monotonic time in nanoseconds. */
uint64_t now_ns(void);

/* Makes room for `count` samples ahead of the clock, and touches the pages. */
void samples_reserve(struct samples *samples, size_t count);

void samples_add(struct samples *samples, uint64_t ns);
void samples_clear(struct samples *samples);

/* Sorts; then samples_at may be asked. */
void samples_sort(struct samples *samples);

/* The value below which `permille` thousandths of the sorted samples lie; 0 if there are none. */
uint64_t samples_at(const struct samples *samples, unsigned int permille);

/* Prints `"NAME_p50_us": x, "NAME_p99_us": y, "NAME_max_us": z, ` of the sorted samples. */
void samples_print(const struct samples *samples, const char *name);
