/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/metadata.h"

#include "lockspace/rules.h"

#include <errno.h>

int hf_metadata_enter(struct hf_server *server, const struct hf_metadata_lock *what,
                      uint32_t *ret_hold)
{
        static const struct hf_thing none = {HF_THING_NONE, 0, 0};
        struct hf_thing key = hf_rules_metadata_key(what->thing.dev, what->thing.ino);
        struct hf_hold_info info = {
                .owner = what->owner,
                .lockspace = HF_LOCKSPACE_DEFAULT,
                .name = what->name,
                .via = what->via,
                .since = what->since,
                .set = what->set,
        };
        int r;

        if (hf_rules_metadata(server->table, &what->thing))
                return -EBUSY;
        r = hf_table_add_lock(server->table, &key, &none, -1, HF_LOCK_METADATA, &info.lock);
        if (r < 0)
                return r;
        r = hf_table_add_hold(server->table, &info, ret_hold);
        if (r < 0)
                hf_table_remove_lock(server->table, info.lock);
        return r;
}
