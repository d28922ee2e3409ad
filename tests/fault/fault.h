/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What a test and the processes of the daemon share: when one of these is to be
 * killed, or an allocation is to fail. The test makes the file, its path is in
 * the environment; it writes and reads these words in the order of the members.
 */

#include <stdint.h>

#define FAULT_ENV "HOLDFAST_TEST_FAULT"

/* The first kill, and the next one counted from there: of who takes over. */
#define FAULT_KILLS 4

struct fault {
        _Atomic uint64_t armed;      /* only then anything is counted */
        _Atomic uint64_t supervisor; /* pid in which nothing is; 0: in none but there */
        _Atomic uint64_t points;     /* passed since the last kill, or since it was armed */
        _Atomic uint64_t kills;      /* so far */
        _Atomic uint64_t kill_at[FAULT_KILLS]; /* number of points; 0: no more */
        _Atomic uint64_t allocations;
        _Atomic uint64_t fail_at; /* number of the allocation that fails; 0: none */
        _Atomic uint64_t steps;   /* the first kill comes so many instructions behind its point */
        _Atomic uint64_t missed;  /* the next point came before */
        _Atomic uint64_t ahead;   /* microseconds by which the wall clock jumps; may wrap */
};
