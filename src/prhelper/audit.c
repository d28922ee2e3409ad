/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "prhelper/audit.h"

void hf_pr_audit(const struct hf_pr_peer *peer, const struct hf_pr_request *request,
                 const char *backend, const struct hf_pr_out *out, int rule,
                 const struct hf_scsi_result *result)
{
        (void)peer, (void)request, (void)backend, (void)out, (void)rule, (void)result;
}
