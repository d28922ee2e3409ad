/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/release.h"

#include "base/cleanup.h"
#include "daemon/acquire.h"
#include "daemon/owner.h"
#include "daemon/parking.h"
#include "lockspace/rules.h"
#include "storage/resource.h"

#include <errno.h>
#include <sys/stat.h>

void hf_give(struct hf_server *server, uint32_t index)
{
        const struct hf_hold *hold = hf_table_hold(server->table, index);
        const struct hf_lock *lock = hf_table_lock(server->table, hold->lock);
        uint32_t lock_index = hold->lock;
        const char *unlink_path = NULL;
        char buf[HF_RULES_PATH_MAX];

        if (lock->holds > 1) {
                hf_table_remove_hold(server->table, index);
                return;
        }
        if (lock->flags & HF_LOCK_AUTOCREATE)
                unlink_path = hf_rules_put_path(
                        hf_table_lockspace_path(server->table, hold->lockspace),
                        hf_table_string(server->table, hold->name), buf);
        /* A successor begins here again, for as long as there is the record. */
        hf_table_set_releasing(server->table, lock_index);
        hf_resource_give(lock->fd, unlink_path);
        hf_parking_released(server, lock);
        hf_table_remove_hold(server->table, index);
        hf_table_remove_lock(server->table, lock_index);
}

/* Whether the number is still the lock's: it may have been closed, and taken by another file. */
static bool is_open(const struct hf_lock *lock)
{
        struct hf_thing thing;
        struct stat st;

        return fstat(lock->fd, &st) == 0 && hf_thing_of(&st, &thing) == 0 &&
               hf_thing_same(&thing, &lock->file);
}

void hf_give_again(struct hf_server *server, uint32_t index)
{
        struct hf_lock *lock = hf_table_lock(server->table, index);

        if (is_open(lock)) {
                hf_give(server, lock->first_hold);
                return;
        }
        hf_table_remove_hold(server->table, lock->first_hold);
        hf_table_remove_lock(server->table, index);
}

/* Another hold of the same owner by the same name, or 0. */
static uint32_t find_twin(struct hf_table *table, uint32_t index)
{
        const struct hf_hold *hold = hf_table_hold(table, index);
        uint32_t i = hf_table_find_name(table, hold->lockspace, hf_table_string(table, hold->name));

        while (i && (i == index || hf_table_hold(table, i)->owner != hold->owner))
                i = hf_table_next_name(table, i);
        return i;
}

void hf_release_named(struct hf_server *server, uint32_t index)
{
        uint32_t owner = hf_table_hold(server->table, index)->owner, twin;

        if (!owner)
                return;
        /* More than one where the file was replaced while it was locked. */
        while ((twin = find_twin(server->table, index)))
                hf_give(server, twin);
        hf_give(server, index);
        hf_owner_drop_unused(server, owner);
}

void hf_release_everything(struct hf_server *server)
{
        for (uint32_t i = 0; (i = hf_table_next_hold(server->table, i));)
                hf_give(server, i);
        for (uint32_t i = 0; (i = hf_table_next_owner(server->table, i));)
                hf_owner_drop_unused(server, i);
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
        if (!hold)
                return hf_error_set(err, EPERM, HF_ERR_INTERNAL, HF_FROM_LOCKSPACE,
                                    "pid %d does not hold %s", (int)session->owner_pid, name);
        hf_session_intend(session, HF_INTENT_RELEASE, hold);
        return 0;
}
