/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * NVMe namespaces: SCSI's commands as NVMe's own (nvme-translate.h), by the driver's pass-through.
 * Where the kernel does not let us, its general interface is tried (blockpr.h), which needs a
 * descriptor that may write, but on newer kernels no privilege.
 */

#include "prhelper/backend.h"
#include "prhelper/device/ioctls.h"

/* What the backend's `execute` does, on a kernel of one's choice. */
int hf_nvme_execute(const struct hf_ioctls *kernel, const struct hf_pr_request *request,
                    struct hf_scsi_result *result, struct hf_error *note);
