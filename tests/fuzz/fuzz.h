/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A fuzz target is one file that defines this function. Linked with replay.c it is a program
 * that runs the seeds (an ordinary test); built with clang -fsanitize=fuzzer and without replay.c
 * it is a fuzzer. A promise that is broken ends the program by abort().
 */

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Not assert(): it counts in builds without assertions as well. */
#define FUZZ_PROMISE(condition)                                                                    \
        do {                                                                                       \
                if (!(condition))                                                                  \
                        abort();                                                                   \
        } while (0)
