/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/release.h"

#include "base/cleanup.h"
#include "daemon/acquire.h"
#include "daemon/event.h"
#include "daemon/guard.h"
#include "daemon/holder.h"
#include "daemon/owner.h"
#include "daemon/parking.h"
#include "daemon/wait.h"
#include "lockspace/rules.h"
#include "storage/posix-lock.h"
#include "storage/resource.h"

#include <errno.h>

/* The order to give a lock back, that of its last hold. */
static void fill_order(struct hf_server *server, uint32_t index, struct hf_order *ret)
{
        const struct hf_hold *hold = hf_table_hold(server->table, index);
        const struct hf_lock *lock = hf_table_lock(server->table, hold->lock);
        char buf[HF_RULES_PATH_MAX];

        *ret = (struct hf_order){.kind = HF_WORK_GIVE,
                                 .posix = lock->flags & HF_LOCK_POSIX,
                                 .fd = lock->fd,
                                 .lock = hold->lock,
                                 .thing = lock->file};
        /* What was lost may be another's file by now, with another's record. */
        if (lock->flags & HF_LOCK_UNSAFE)
                return;
        hf_holder_clear(
                server,
                (lock->flags & HF_LOCK_AUTOCREATE) && hold->lockspace != HF_LOCKSPACE_DEFAULT, ret);
        if (!(lock->flags & HF_LOCK_AUTOCREATE))
                return;
        (void)hf_order_set_path(
                ret, hf_rules_put_path(hf_table_lockspace_path(server->table, hold->lockspace),
                                       hf_table_string(server->table, hold->name), buf));
}

/* What was never granted is given back without a word. */
static void tell_released(struct hf_server *server, uint32_t hold)
{
        if (hf_table_hold(server->table, hold)->check)
                hf_event_of_hold(server, HF_HOLDFAST_EVENT_RELEASED, hold, "");
}

static void remove_lock(struct hf_server *server, uint32_t hold)
{
        uint32_t lock = hf_table_hold(server->table, hold)->lock;

        hf_parking_released(server, hf_table_lock(server->table, lock));
        tell_released(server, hold);
        hf_table_remove_hold(server->table, hold);
        hf_table_remove_lock(server->table, lock);
        hf_waits_freed(server, lock);
}

/* By a worker, which may be busy with it already. */
static void give_elsewhere(struct hf_server *server, uint32_t hold)
{
        struct hf_order order;

        if (hf_work_gives(server, hf_table_hold(server->table, hold)->lock))
                return;
        fill_order(server, hold, &order);
        /* What fails for want of memory is tried again, see hf_release_retry. */
        (void)hf_work_start(server, NULL, &order, NULL, NULL, NULL, NULL);
}

bool hf_give(struct hf_server *server, uint32_t index)
{
        uint32_t lock_index = hf_table_hold(server->table, index)->lock;
        const struct hf_lock *lock = hf_table_lock(server->table, lock_index);

        hf_guard_leaves(server, index);
        if (lock->holds > 1) {
                tell_released(server, index);
                hf_table_remove_hold(server->table, index);
                /* By that name another file may be had now. */
                hf_waits_freed(server, lock_index);
                return true;
        }
        /* A successor begins here again, for as long as there is the record. */
        hf_table_set_releasing(server->table, lock_index);
        if (!(lock->flags & HF_LOCK_METADATA)) {
                if ((lock->flags & HF_LOCK_AUTOCREATE) || !hf_work_closes(server, &lock->file)) {
                        give_elsewhere(server, index);
                        return false;
                }
                if (lock->flags & HF_LOCK_POSIX)
                        hf_posix_give(lock->fd, NULL);
                else
                        hf_resource_give(lock->fd, NULL);
        }
        remove_lock(server, index);
        return true;
}

/* Whether the number is still the lock's: it may have been closed, and taken by another file. */
static bool is_open(const struct hf_lock *lock)
{
        struct hf_thing thing;

        return hf_resource_of_fd(lock->fd, &thing) == 0 && hf_thing_same(&thing, &lock->file);
}

void hf_give_again(struct hf_server *server, uint32_t index)
{
        struct hf_lock *lock = hf_table_lock(server->table, index);

        if (hf_work_gives(server, index))
                return;
        if (is_open(lock))
                (void)hf_give(server, lock->first_hold);
        else
                remove_lock(server, lock->first_hold);
}

void hf_given(struct hf_server *server, const struct hf_order *order, bool closed)
{
        const struct hf_lock *lock = hf_table_lock(server->table, order->lock);
        uint32_t hold = lock->first_hold, owner;

        if (!hold || !(lock->flags & HF_LOCK_RELEASING))
                return;
        /* The record may be another lock's by now, which has waited for this worker then. */
        if (lock->fd != order->fd || !hf_thing_same(&lock->file, &order->thing))
                closed = false;
        owner = hf_table_hold(server->table, hold)->owner;
        if (closed)
                remove_lock(server, hold);
        else
                hf_give_again(server, order->lock);
        hf_owner_drop_unused(server, owner);
        hf_sessions_settle(server);
        hf_waits_serve(server);
        hf_server_check_idle(server);
}

void hf_release_retry(struct hf_server *server)
{
        for (uint32_t i = 0; (i = hf_table_next_hold(server->table, i));) {
                uint32_t lock = hf_table_hold(server->table, i)->lock;

                if (hf_table_lock(server->table, lock)->flags & HF_LOCK_RELEASING)
                        give_elsewhere(server, i);
        }
}

/* Another hold of the same owner by the same name, behind `after` if that is one; or 0. */
static uint32_t find_twin(struct hf_table *table, uint32_t index, uint32_t after)
{
        const struct hf_hold *hold = hf_table_hold(table, index);
        uint32_t i = after ? hf_table_next_name(table, after)
                           : hf_table_find_name(table, hold->lockspace,
                                                hf_table_string(table, hold->name));

        while (i && (i == index || hf_table_hold(table, i)->owner != hold->owner))
                i = hf_table_next_name(table, i);
        return i;
}

bool hf_release_named(struct hf_server *server, uint32_t index)
{
        uint32_t owner = hf_table_hold(server->table, index)->owner, twin;
        bool gone;

        if (!owner)
                return true;
        /* More than one where the file was replaced while it was locked. */
        for (uint32_t next = find_twin(server->table, index, 0); (twin = next);) {
                next = find_twin(server->table, index, twin);
                (void)hf_give(server, twin);
        }
        gone = hf_give(server, index);
        hf_owner_drop_unused(server, owner);
        return gone;
}

void hf_release_everything(struct hf_server *server)
{
        for (uint32_t i = 0; (i = hf_table_next_hold(server->table, i));)
                (void)hf_give(server, i);
        for (uint32_t i = 0; (i = hf_table_next_owner(server->table, i));)
                hf_owner_drop_unused(server, i);
}

bool hf_release_is_under_way(struct hf_server *server)
{
        for (uint32_t i = 0; (i = hf_table_next_hold(server->table, i));)
                if (hf_table_lock(server->table, hf_table_hold(server->table, i)->lock)->flags &
                    HF_LOCK_RELEASING)
                        return true;
        return false;
}

int hf_release(struct hf_session *session, const char *path, const char *name, struct hf_error *err)
{
        struct hf_server *server = session->server;
        uint32_t lockspace = hf_find_lockspace(server, path, err);
        uint32_t owner, hold;

        if (!lockspace)
                return -ENOENT;
        if (!hf_table_find_name(server->table, lockspace, name))
                return hf_error_set(err, ENOENT, HF_ERR_RESOURCE_BUSY, HF_FROM_LOCKSPACE,
                                    "%s is not locked", name);
        owner = hf_owner_known(session);
        hold = owner ? hf_rules_hold_of(server->table, owner, lockspace, name) : 0;
        /* What is being acquired with others is not held yet. */
        if (!hold || !hf_table_hold(server->table, hold)->check)
                return hf_error_set(err, EPERM, HF_ERR_INTERNAL, HF_FROM_LOCKSPACE,
                                    "pid %d does not hold %s", (int)session->owner_pid, name);
        hf_session_intend(session, HF_INTENT_RELEASE, hold);
        return 0;
}

/* A hold of an owner that it acquired with that set, or 0. */
static uint32_t find_in_set(struct hf_table *table, uint32_t owner, uint64_t set)
{
        uint32_t i = hf_table_owner(table, owner)->first_hold;

        while (i && (hf_table_hold(table, i)->set != set || !hf_table_hold(table, i)->check))
                i = hf_table_hold(table, i)->next_in_owner;
        return i;
}

bool hf_release_of_set(struct hf_server *server, uint32_t owner, uint64_t set)
{
        struct hf_table *table = server->table;
        bool gone = true;

        /* With its last hold the owner's record may have gone. */
        if (!hf_table_owner(table, owner)->pid)
                return true;
        for (uint32_t next, i = hf_table_owner(table, owner)->first_hold; i; i = next) {
                next = hf_table_hold(table, i)->next_in_owner;
                if (hf_table_hold(table, i)->set == set && !hf_give(server, i))
                        gone = false;
        }
        hf_owner_drop_unused(server, owner);
        return gone;
}

int hf_release_set(struct hf_session *session, uint64_t set, struct hf_error *err)
{
        struct hf_table *table = session->server->table;
        uint32_t owner = hf_owner_known(session);

        if (!owner || !set || !find_in_set(table, owner, set))
                owner = hf_owner_next_client(session, 0);
        while (owner && (!set || !find_in_set(table, owner, set)))
                owner = hf_owner_next_client(session, owner);
        if (!owner)
                return hf_error_set(err, ENOENT, HF_ERR_OPERATION_INVALID, HF_FROM_LOCKSPACE,
                                    "pid %d holds nothing of a set with the number %llu",
                                    (int)session->owner_pid, (unsigned long long)set);
        hf_session_intend(session, HF_INTENT_RELEASE_SET, owner);
        session->intent.set = set;
        return 0;
}
