/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "prhelper/backend.h"

#include "scsi/sg.h"

static int execute(void *state, const struct hf_pr_request *request, struct hf_scsi_result *result,
                   struct hf_error *note)
{
        (void)state;
        (void)note;
        hf_sg_pr(request->fd, request->cdb, request->data, result);
        return 1;
}

const struct hf_pr_backend hf_pr_sgio = {
        .name = "sgio",
        .stage = HF_PR_STAGE_CONNECTION,
        .execute = execute,
};
