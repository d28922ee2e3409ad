/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A table whose writer was killed, at whatever instruction, goes on in place
 * under its successor.
 *
 * Only what has a right check is believed (claims.h), and what that refers to.
 * All chains, counts, free lists and indexes are made anew from it. No record
 * that is kept moves: its index is the same as before.
 *
 *   hf_table_adopt        maps it
 *   hf_table_claim_...    for what was decided and not written yet
 *   hf_table_rebuild      makes a whole table of it
 *
 * Before the last one nothing else may be asked of the table than its records.
 */

#include "lockspace/table.h"

struct hf_rebuilt {
        uint32_t kept;       /* holds */
        uint32_t unfinished; /* records that were begun, or that nobody refers to any more */
        uint32_t damaged;    /* records and strings that were wrong */
};

/*
 * Maps the table behind a descriptor, which is taken over on success only; kept:
 * the file has a name. -EBADMSG: no table of this version. -ENOMEM, -ENOSPC,
 * and what mmap and fstat say.
 */
int hf_table_adopt(int fd, bool kept, struct hf_table **ret);

/*
 * Makes a whole table of one that was adopted; once. It cannot fail, and may be
 * killed and done again with the same result (but for the counts in *ret: what
 * is damaged is found once).
 *
 * Kept are lockspaces and holds with a right check, the locks and owners of
 * these, and the owners for which is_used says so (NULL: none). It is asked for
 * each record that has a pid and no hold; one that cannot be read goes
 * nevertheless and has pid 0 then. The default lockspace is always there.
 *
 * A hold is lost with a right check where it refers to what is not there, where
 * its name or descriptor belongs to another one, and where its descriptor is
 * none, unless it is a metadata lock's. Of two locks with one descriptor that stays whose release
 * has not begun.
 *
 * The owners' `sessions` and `connections` are 0 afterwards, for the caller to
 * count. `pidfd`, `state` and the like are not covered by a check: the caller
 * has to see whether they are true. A lock with HF_LOCK_RELEASING keeps it.
 */
void hf_table_rebuild(struct hf_table *table, bool (*is_used)(void *data, uint32_t owner),
                      void *data, struct hf_rebuilt *ret);
