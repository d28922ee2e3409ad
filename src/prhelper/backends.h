/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* The backends by number: how the connection's process and the broker speak of them. */

#include "prhelper/backend.h"

enum hf_pr_backend_id {
        HF_PR_BACKEND_SGIO,
        HF_PR_BACKEND_MPATH,
        HF_PR_BACKEND_NVME,
        HF_PR_BACKEND_EMULATED,
        HF_PR_BACKENDS,
};

/* NULL: no such number. */
const struct hf_pr_backend *hf_pr_backend_of(unsigned int id);

/* Whether commands may be given to it. */
bool hf_pr_backend_runs(const struct hf_pr_backend *backend, const struct hf_pr_settings *settings);
