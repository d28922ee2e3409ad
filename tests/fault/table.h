/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What clients and competitor know together, in a file that both have mapped.
 *
 * Each resource has a counter: odd while its VM holds it for certain, that is from
 * the daemon's answer to acquire until just before the VM asks for a release. Who gets the
 * kernel's lock while the counter is odd, and finds it unchanged after that, has
 * taken it from a living VM.
 */

#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>

/* Bounds the file; far more than two processors can keep busy. */
#define FAULT_RESOURCES 4096

struct fault_table {
        _Atomic uint32_t n; /* resources in use; the files are there when this is not 0 */
        uint32_t unused;
        _Atomic uint64_t state[FAULT_RESOURCES];
};

#define FAULT_PATH_MAX 256

static inline void fault_path(char path[static FAULT_PATH_MAX], const char *folder,
                              uint32_t resource)
{
        (void)snprintf(path, FAULT_PATH_MAX, "%s/r%05u", folder, resource);
}

static inline int fault_is_held(uint64_t state)
{
        return (int)(state & 1);
}
