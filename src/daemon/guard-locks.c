/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Which locks the guard looks at, and what it notes of them. */
#include "daemon/guard-private.h"

#include "base/log.h"
#include "daemon/event.h"
#include "daemon/wait.h"
#include "lockspace/claims.h"

#include <string.h>

#define MODULE "daemon.guard"

uint32_t hf_guard_next_lock(struct hf_server *server, uint64_t dev, uint32_t after)
{
        struct hf_table *table = server->table;
        uint32_t i = after;

        while ((i = hf_table_next_hold(table, i))) {
                const struct hf_lock *lock = hf_table_lock(table, hf_table_hold(table, i)->lock);

                if (lock->first_hold == i && lock->file.kind == HF_THING_FILE &&
                    lock->file.dev == dev && !(lock->flags & HF_LOCK_RELEASING))
                        return i;
        }
        return 0;
}

uint32_t hf_guard_lock_of(struct hf_server *server, uint32_t hold)
{
        return hf_table_hold(server->table, hold)->lock;
}

uint32_t hf_guard_rotate(struct hf_server *server, uint64_t dev, uint32_t *cursor)
{
        uint32_t i = *cursor;

        for (int round = 0; round < 2; round++) {
                while ((i = hf_guard_next_lock(server, dev, i)))
                        if (!(hf_table_lock(server->table, hf_guard_lock_of(server, i))->flags &
                              HF_LOCK_LOST)) {
                                *cursor = i;
                                return i;
                        }
        }
        return 0;
}

uint32_t hf_guard_count(struct hf_server *server, uint64_t dev)
{
        uint32_t n = 0;

        for (uint32_t i = 0; (i = hf_guard_next_lock(server, dev, i));)
                n++;
        return n;
}

uint32_t hf_guard_unsafe(struct hf_server *server, uint32_t owner)
{
        struct hf_table *table = server->table;
        uint32_t unsafe = 0;

        for (uint32_t i = hf_table_owner(table, owner)->first_hold; i;
             i = hf_table_hold(table, i)->next_in_owner) {
                const struct hf_lock *lock = hf_table_lock(table, hf_table_hold(table, i)->lock);

                if (!(lock->flags & HF_LOCK_RELEASING))
                        unsafe |= lock->flags & HF_LOCK_UNSAFE;
        }
        return unsafe;
}

void hf_guard_lose(struct hf_server *server, uint32_t index)
{
        struct hf_table *table = server->table;
        struct hf_lock *lock = hf_table_lock(table, index);

        server->guard->trouble = true;
        for (uint32_t i = lock->first_hold; i; i = hf_table_hold(table, i)->next_in_lock) {
                struct hf_owner *owner = hf_table_owner(table, hf_table_hold(table, i)->owner);

                owner->acted |= HF_ACTED_FINAL;
                hf_event_of_hold(server, HF_HOLDFAST_EVENT_LOST, i,
                                 "its server has given it up, and another host may have written "
                                 "there since. The lock is not taken again. End this VM: what it "
                                 "has in memory is of before");
        }
        hf_table_set_lease(table, index, HF_LOCK_LOST);
}

/* Once for as long as it is in doubt. */
static void tell_doubt(struct hf_server *server, uint32_t index)
{
        const struct hf_lock *lock = hf_table_lock(server->table, index);

        for (uint32_t i = lock->flags & HF_LOCK_DOUBTED ? 0 : lock->first_hold; i;
             i = hf_table_hold(server->table, i)->next_in_lock)
                hf_event_of_hold(server, HF_HOLDFAST_EVENT_DOUBTED, i,
                                 "its file server does not answer");
}

void hf_guard_trust(struct hf_server *server, uint32_t index)
{
        hf_table_set_lease(server->table, index, 0);
        /* Others may share it again. */
        hf_waits_freed(server, index);
}

unsigned int hf_guard_doubt_all(struct hf_server *server, uint64_t dev)
{
        unsigned int n = 0;

        for (uint32_t i = 0; (i = hf_guard_next_lock(server, dev, i));) {
                uint32_t lock = hf_guard_lock_of(server, i);

                if (hf_table_lock(server->table, lock)->flags & HF_LOCK_LOST)
                        continue;
                tell_doubt(server, lock);
                hf_table_set_lease(server->table, lock, HF_LOCK_DOUBTED);
                n++;
        }
        return n;
}

void hf_guard_say_unproved(struct hf_server *server, uint32_t lock, int number)
{
        uint32_t hold = hf_table_lock(server->table, lock)->first_hold;

        if (server->guard->said_unproved)
                return;
        server->guard->said_unproved = true;
        hf_log(HF_LOG_ERROR, MODULE, "cannot tell whether the lock of %s stands: %s",
               hf_table_string(server->table, hf_table_hold(server->table, hold)->name),
               strerrordesc_np(number));
}

/* ---- claims of an earlier daemon ---- */

void hf_guard_recover_lost(struct hf_server *server, uint32_t lock)
{
        struct hf_guard_state *guard = server->guard;
        uint32_t *more = reallocarray(guard->lost, guard->n_lost + 1, sizeof(*more));

        if (!more) {
                hf_guard_lose(server, lock);
                return;
        }
        guard->lost = more;
        guard->lost[guard->n_lost++] = lock;
}

void hf_guard_recover(struct hf_server *server, uint32_t index, const struct hf_claim *claim)
{
        struct hf_owner *owner = hf_table_owner(server->table, index);

        owner->on_lost = (uint8_t)claim->on_lost;
        owner->acted |= (uint16_t)(claim->acted & ~HF_ACTED_SPREAD);
        /* Who talked to its monitor is gone, and may have told it to stop, or to continue. */
        if (claim->acted & HF_ACTED_ASKING)
                owner->acted |= HF_ACTED_ASKED;
        if (owner->acted & HF_ACTED_ASKING)
                owner->acted &= (uint16_t) ~(HF_ACTED_ASKING | HF_ACTED_STOPPED | HF_ACTED_SEEN);
        if (*claim->monitor)
                (void)hf_table_set_monitor(server->table, index, claim->monitor);
}

void hf_guard_recover_not(struct hf_server *server, const struct hf_claim *claim)
{
        uint32_t index = hf_table_find_owner(server->table, claim->pid, claim->start);

        if (index)
                hf_table_owner(server->table, index)->acted |= HF_ACTED_FINAL;
}
