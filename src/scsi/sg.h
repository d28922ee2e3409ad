/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Persistent reservation commands to a SCSI device by the kernel's SG_IO, which asks the process
 * for CAP_SYS_RAWIO. What the kernel answers is put into words of SCSI as QEMU does it, so that a
 * guest sees the same through any helper.
 */

#include "scsi/pr.h"
#include "scsi/result.h"

/* The C library has a header of this name too, for the ioctl itself: who asks gets both. */
#include_next <scsi/sg.h>

/*
 * Runs one PR command on the device behind fd. OUT: the list of hf_pr_length(cdb) bytes is at
 * data. IN: data has room for HF_PR_DATA_MAX bytes, all of which the device is offered;
 * result->size is what it gave, cut to the allocation length. Always fills *result; never fails
 * otherwise. Waits as long as the device does.
 */
void hf_sg_pr(int fd, const uint8_t cdb[static HF_PR_CDB_SIZE], void *data,
              struct hf_scsi_result *result);

/* TEST UNIT READY on the same terms: fetches the sense that a device has ready. */
void hf_sg_test_unit_ready(int fd, struct hf_scsi_result *result);
