/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/learn.h"

#include "base/clock.h"

#include "storage/behind.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

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
        return hf_clock_usec(CLOCK_MONOTONIC);
}

static pid_t pid_of(struct hf_server *server, const struct hf_lock *lock)
{
        return hf_table_owner(server->table, hf_table_hold(server->table, lock->first_hold)->owner)
                ->pid;
}

static const char *name_of(struct hf_server *server, const struct hf_lock *lock)
{
        return hf_table_string(server->table, hf_table_hold(server->table, lock->first_hold)->name);
}

/*
 * Looks for the thing of a lock, which is one of n that are searched for. Returns
 * whether the filesystem of that device would have to be asked.
 */
static bool learn_thing(struct hf_server *server, uint32_t index, uint64_t n, uint64_t dev)
{
        struct hf_lock *lock = hf_table_lock(server->table, index);
        uint64_t begin = monotonic_usec(), stands;
        char path[PATH_MAX] = "";
        struct hf_thing thing;
        bool ask;
        int r;

        r = hf_behind_find_cached(pid_of(server, lock), name_of(server, lock), &thing, path);
        if (r == 0) {
                hf_table_set_thing(server->table, index, &thing);
                return false;
        }
        ask = r == -EAGAIN && dev && hf_work_is_on(server, path, dev);
        stands = (monotonic_usec() - begin) * n * SEARCHES_SHARE;
        if (stands > SEARCH_STANDS_MAX_USEC || ask)
                stands = SEARCH_STANDS_MAX_USEC;
        lock->search_after = hf_server_wall_clock(server) + stands;
        return ask;
}

uint32_t hf_learn_things(struct hf_server *server, uint64_t dev)
{
        struct hf_table *table = server->table;
        uint64_t now = hf_server_wall_clock(server), n = 0;

        for (uint32_t i = hf_table_find_searched(table, 0); i; i = hf_table_find_searched(table, i))
                n++;
        for (uint32_t next, i = hf_table_find_searched(table, 0); i; i = next) {
                uint64_t after = hf_table_lock(table, i)->search_after;

                next = hf_table_find_searched(table, i);
                if ((after <= now || after - now > SEARCH_STANDS_MAX_USEC) &&
                    learn_thing(server, i, n, dev))
                        return i;
        }
        return 0;
}

void hf_learn_order(struct hf_server *server, uint32_t index, struct hf_order *ret)
{
        const struct hf_lock *lock = hf_table_lock(server->table, index);
        struct hf_thing thing;

        *ret = (struct hf_order){.kind = HF_WORK_FIND, .pid = pid_of(server, lock)};
        (void)snprintf(ret->hash, sizeof(ret->hash), "%s", name_of(server, lock));
        /* Once more, for the path. */
        (void)hf_behind_find_cached(ret->pid, ret->hash, &thing, ret->path);
}

void hf_learn_found(struct hf_server *server, uint32_t index, const char *hash,
                    const struct hf_thing *thing)
{
        const struct hf_lock *lock = hf_table_lock(server->table, index);

        if (lock->first_hold && (lock->flags & HF_LOCK_SEARCHED) &&
            !strcmp(name_of(server, lock), hash))
                hf_table_set_thing(server->table, index, thing);
}
