/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * The kernel's general interface to reservations (<linux/pr.h>, IOC_PR_*): the same for every kind
 * of disk, and less than the devices can:
 *
 *   REPORT CAPABILITIES, READ FULL STATUS     not there
 *   READ KEYS, READ RESERVATION               in Linux of 2026; tried at run time
 *   unregistering                             some drivers replace the key with 0 instead, so it
 *                                             is done only where the keys can be read after it
 *   APTPL                                     always asked for, so registrations persist
 *
 * What is not there is refused with 5/20/00.
 */

#include "prhelper/device/ioctls.h"

#include "scsi/pr.h"
#include "scsi/result.h"

/* Most keys that the kernel is asked for: what READ KEYS has room for. */
#define HF_BLOCKPR_KEYS_MAX ((HF_PR_DATA_MAX - 8) / 8)

/* An OUT command, decoded; n: the length of its list. */
void hf_blockpr_out(const struct hf_ioctls *kernel, int fd, const struct hf_pr_out *out, size_t n,
                    struct hf_scsi_result *result);

/* An IN command; data has room for HF_PR_DATA_MAX bytes. */
void hf_blockpr_in(const struct hf_ioctls *kernel, int fd, const uint8_t cdb[static HF_PR_CDB_SIZE],
                   uint8_t *data, struct hf_scsi_result *result);

/*
 * What such an ioctl returned, as a result: -errno, or a status, which is SCSI's, or the kernel's
 * word for a failed path, or on older kernels NVMe's own or SCSI's with more bits above it.
 */
void hf_blockpr_result(int returned, struct hf_scsi_result *result);
