/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Metadata locks: who changes the owner, the mode or the labels of a file.
 *
 * They are records of the table and nothing else. No file is opened for one, so it is nobody's
 * business of what type the file is, who may read it, and what else is locked there. The client
 * names a file by device and inode, and keeps it open meanwhile, so that the number stays
 * that file's. Such a lock goes as far as this host, has no lease and is never parked; when all
 * our processes have died it is simply there again, while its owner lives.
 */

#include "daemon/server.h"

struct hf_metadata_lock {
        uint32_t owner;
        struct hf_thing thing; /* of any kind: its dev and ino count */
        const char *name;      /* to be shown, perhaps "" */
        const char *via;
        uint64_t since; /* microseconds since the epoch */
        uint64_t set;   /* that it is acquired with; 0: none */
};

/*
 * Enters one into the table, claiming nothing yet. -EBUSY: somebody has it
 * (hf_rules_metadata), perhaps its owner itself; -ENOSPC, -ENAMETOOLONG.
 */
int hf_metadata_enter(struct hf_server *server, const struct hf_metadata_lock *what,
                      uint32_t *ret_hold);
