/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The protocol between a VMM and its persistent reservation helper (QEMU's docs/interop/
 * pr-helper.rst): fixed frames on a UNIX stream socket, integers in network order.
 *
 *   helper  4 bytes of features that it has; client  4 bytes of those that it wants
 *   client  16 bytes of CDB with one descriptor (SCM_RIGHTS); for OUT its parameter list follows
 *   helper  104 bytes: status, size of the data, 96 bytes of sense; then the data of IN
 *
 * There are no features yet: both sides write 0.
 */

#include "scsi/pr.h"
#include "scsi/result.h"

#define HF_HELPER_FEATURES_SIZE 4
#define HF_HELPER_ANSWER_SIZE   (8 + HF_SENSE_SIZE)

/* The frame before the data. */
void hf_helper_answer_encode(const struct hf_scsi_result *result,
                             uint8_t frame[static HF_HELPER_ANSWER_SIZE]);

/*
 * Decodes what a helper sent for a command that takes `room` bytes of data (0 for OUT). -EBADMSG if
 * it announces more, or data with a status that has none: nobody shall read on behind such a frame.
 */
int hf_helper_answer_decode(const uint8_t frame[static HF_HELPER_ANSWER_SIZE], size_t room,
                            struct hf_scsi_result *ret);
