/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Stages: what each of our processes may do, by name. A process enters its stage once and has no
 * way back: capabilities, bounding set, no new privileges, and a filter of system calls.
 *
 *   serve       accepts and starts the others. Keeps what they need permitted, not effective.
 *               Reads nothing that a peer sent.
 *   connection  reads what one peer sends; commands to SCSI disks. CAP_SYS_RAWIO.
 *   mapper      libmpathpersist, which opens paths and talks to multipathd. CAP_SYS_RAWIO and
 *               CAP_SYS_ADMIN, no tight filter: the library's calls are not ours to know.
 *   nvme        CAP_SYS_ADMIN for pass-through.
 *   emulated    no capability at all; files of its database.
 */

#include "base/error.h"

#include <stdbool.h>
#include <sys/types.h>

enum hf_pr_stage {
        HF_PR_STAGE_SERVE,
        HF_PR_STAGE_CONNECTION,
        HF_PR_STAGE_MAPPER,
        HF_PR_STAGE_NVME,
        HF_PR_STAGE_EMULATED,
        HF_PR_STAGES,
};

/*
 * Enters the stage. uid and gid (or -1: as it is) are taken on in HF_PR_STAGE_SERVE alone, where
 * admin says whether mapper and nvme are to come, and so CAP_SYS_ADMIN is to be kept for them.
 * Returns 0 or -errno with *err: then the process must end, as it may have too many rights.
 */
int hf_pr_stage_enter(enum hf_pr_stage stage, uid_t uid, gid_t gid, bool admin,
                      struct hf_error *err);

const char *hf_pr_stage_name(enum hf_pr_stage stage);
