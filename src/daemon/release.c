/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/release.h"

#include "base/cleanup.h"
#include "daemon/acquire.h"
#include "daemon/owner.h"
#include "lockspace/rules.h"
#include "storage/resource.h"

#include <errno.h>

void hf_give(struct hf_server *server, uint32_t index)
{
        struct hf_hold *hold = hf_table_hold(server->table, index);
        struct hf_lock *lock = hf_table_lock(server->table, hold->lock);
        uint32_t lock_index = hold->lock;
        hf_cleanup_free char *unlink_path = NULL;
        int fd = lock->fd;

        if (lock->holds > 1) {
                hf_table_remove_hold(server->table, index);
                return;
        }
        if (lock->flags & HF_LOCK_AUTOCREATE)
                unlink_path = hf_rules_path(hf_table_lockspace_path(server->table, hold->lockspace),
                                            hf_table_string(server->table, hold->name));
        hf_resource_give(fd, unlink_path);
        hf_table_remove_hold(server->table, index);
        hf_table_remove_lock(server->table, lock_index);
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
        /* More than one where the file was replaced while it was locked. */
        for (; hold; hold = hf_rules_hold_of(server->table, owner, lockspace, name))
                hf_give(server, hold);
        hf_owner_drop_unused(server, owner);
        return 0;
}
