/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What a daemon uses: memory and processor time, of all its processes.
 *
 * A daemon of two processes that share pages by copy-on-write must not pay for
 * them twice, so private and shared memory is the sum of the proportional set
 * sizes. That of program and library files would depend on who else on the
 * machine has them mapped: there the resident size counts, once, as that of the
 * largest process. What a daemon keeps on tmpfs is memory as well, mapped or not.
 */

#include <stdint.h>
#include <sys/types.h>

struct memory {
        uint64_t anon;  /* bytes, private to the processes */
        uint64_t file;  /* bytes of programs and libraries */
        uint64_t shmem; /* bytes of mapped tmpfs, memfd, shared anonymous memory */
        uint64_t state; /* bytes in use on the tmpfs that holds the state folder; 0 if unknown */
};

/* Memory of `root` and of all processes below it. `state` may be NULL. */
void memory_read(pid_t root, const char *state, struct memory *memory);

/* Processor time that `root` and all processes below it have used, in nanoseconds. */
uint64_t cpu_of_tree(pid_t root);

/* Processor time that this process has used, in nanoseconds. */
uint64_t cpu_of_self(void);
