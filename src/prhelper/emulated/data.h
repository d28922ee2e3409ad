/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* What PERSISTENT RESERVE IN says of a unit's state. */

#include "prhelper/emulated/model.h"

/*
 * Answers an IN command: data has room for HF_PR_DATA_MAX bytes, of which no more are used than the
 * command has room for. result comes in as good.
 */
void hf_pr_state_data(const struct hf_pr_state *state, const uint8_t *cdb, uint8_t *data,
                      struct hf_scsi_result *result);
