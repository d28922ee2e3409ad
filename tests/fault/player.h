/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Plays VMs against the lock daemon, and knows the right answer to everything.
 *
 * A daemon serves the requests of one connection in order, and nobody else asks
 * for the resources of this connection's owner but to be refused. So what is
 * right can be said when the answer comes, whatever happened to the daemon:
 * exactly one answer to each serial, in order, that fits what this owner has.
 */

#include "table.h"

#include <stdbool.h>
#include <sys/types.h>

/* Of each owner; the first is held from begin to end, so that others can ask in vain. */
#define RESOURCES_EACH  4

#define FIRST_WRONG_MAX 512

/* Shared by all processes that play. */
struct tally {
        _Atomic uint64_t requests, answers, wrong, missing, closed, reconnects, refused;
        _Atomic uint64_t slowest_usec; /* from a request to its answer: the longest */
        _Atomic uint32_t ready;        /* owners that hold their first resource */
        _Atomic uint32_t playing;      /* processes that still have answers to take in */
        _Atomic bool stop;
        _Atomic bool told;
        char first_wrong[FIRST_WRONG_MAX];
};

struct stage {
        const char *socket, *folder;
        struct fault_table *table;
        struct tally *tally;
        uint32_t owners; /* in all; owner i has the resources from i * RESOURCES_EACH on */
};

struct part {
        uint32_t owner;
        pid_t pid; /* of the owner; our own: closing the connection would be its end */
};

/* Plays until the tally says stop, then takes in what is still to come. */
void play(const struct stage *stage, const struct part *parts, uint32_t n);
