/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/learn.h"

#include "storage/behind.h"

#include <time.h>

/*
 * All searches for the things of hot-plugged disks may take one part in so many
 * of the time, whatever the VMs make of themselves: one that takes long is not
 * repeated for long.
 */
#define SEARCHES_SHARE 10

/* So long an unsuccessful search stands at most; a clock set back holds it up no longer. */
#define SEARCH_STANDS_MAX_USEC (10 * 1000000ULL)

static uint64_t monotonic_usec(void)
{
        struct timespec now;

        (void)clock_gettime(CLOCK_MONOTONIC, &now);
        return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

/* Looks for the thing of a lock, which is one of n that are searched for. */
static void learn_thing(struct hf_server *server, uint32_t index, uint64_t n)
{
        struct hf_table *table = server->table;
        struct hf_lock *lock = hf_table_lock(table, index);
        const struct hf_hold *hold = hf_table_hold(table, lock->first_hold);
        uint64_t begin = monotonic_usec(), stands;
        struct hf_thing thing;

        if (hf_behind_find(hf_table_owner(table, hold->owner)->pid,
                           hf_table_string(table, hold->name), &thing) == 0) {
                hf_table_set_thing(table, index, &thing);
                return;
        }
        stands = (monotonic_usec() - begin) * n * SEARCHES_SHARE;
        if (stands > SEARCH_STANDS_MAX_USEC)
                stands = SEARCH_STANDS_MAX_USEC;
        lock->search_after = hf_server_wall_clock(server) + stands;
}

void hf_learn_things(struct hf_server *server)
{
        struct hf_table *table = server->table;
        uint64_t now = hf_server_wall_clock(server), n = 0;

        for (uint32_t i = hf_table_find_searched(table, 0); i; i = hf_table_find_searched(table, i))
                n++;
        for (uint32_t next, i = hf_table_find_searched(table, 0); i; i = next) {
                uint64_t after = hf_table_lock(table, i)->search_after;

                next = hf_table_find_searched(table, i);
                if (after <= now || after - now > SEARCH_STANDS_MAX_USEC)
                        learn_thing(server, i, n);
        }
}
