/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the files of recovery share. */

#include "daemon/recover.h"
#include "lockspace/claims.h"
#include "storage/users.h"

/* What the VM has open of what it claims, as far as it is known. */
const struct hf_thing *hf_recover_disk_of(const struct hf_claim *claim);

/*
 * The record, in the new table, of the process that the claim's VM is: its owner, or, where a
 * scan is there to tell (else NULL), who carries it on. -ESRCH: there is none.
 */
int hf_recover_owner(struct hf_server *server, const struct hf_claim *claim,
                     const struct hf_user_scan *scan, uint32_t *ret);
