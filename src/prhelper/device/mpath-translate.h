/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Between what a peer sent and what libmpathpersist takes: pure, with bounds on all that a peer
 * or the library says. Where QEMU's helper with this library answers something, so do we; it puts
 * no bound on the number of TransportIDs, we do.
 */

#include "prhelper/device/mpath-abi.h"

#include "scsi/pr.h"
#include "scsi/result.h"

#include <stdbool.h>

/* An OUT command as the library takes it; ids in `out` point into `ids`, so it cannot be copied. */
struct hf_mpath_command {
        int action, scope;
        unsigned int type;
        struct hf_mpath_out out;
        struct hf_mpath_id ids[HF_PR_IDS_MAX];
};

/* Fills *ret; or gives the fault, and what is in *ret then is nothing. */
enum hf_pr_fault hf_mpath_decode(const uint8_t cdb[static HF_PR_CDB_SIZE], const uint8_t *list,
                                 size_t n, struct hf_mpath_command *ret);

/*
 * The service action of an IN command, or -EOPNOTSUPP: the library has none but READ KEYS, READ
 * RESERVATION and REPORT CAPABILITIES. The whole byte counts, reserved bits too.
 */
int hf_mpath_in_action(const uint8_t cdb[static HF_PR_CDB_SIZE]);

/*
 * The data of an IN command: `room` bytes (the allocation length, at most HF_PR_DATA_MAX), zero
 * behind what the library gave. Returns room.
 */
size_t hf_mpath_encode(int action, const union hf_mpath_in *answer, uint8_t *data, size_t room);

/*
 * What a result of the library means. True: the device has sense of its own that says more; what
 * is in *result then is for the case that it cannot be had.
 */
bool hf_mpath_result(int code, struct hf_scsi_result *result);

/* For people: "no reservation_key is configured ...", or NULL where sense says it all. */
const char *hf_mpath_text(int code);
