/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "prhelper/backends.h"

static const struct hf_pr_backend *const backends[HF_PR_BACKENDS] = {
        [HF_PR_BACKEND_SGIO] = &hf_pr_sgio,
        [HF_PR_BACKEND_MPATH] = &hf_pr_mpath,
        [HF_PR_BACKEND_NVME] = &hf_pr_nvme,
        [HF_PR_BACKEND_EMULATED] = &hf_pr_emulated,
};

const struct hf_pr_backend *hf_pr_backend_of(unsigned int id)
{
        return id < HF_PR_BACKENDS ? backends[id] : NULL;
}

bool hf_pr_backend_runs(const struct hf_pr_backend *backend, const struct hf_pr_settings *settings)
{
        return backend->sorts || hf_pr_settings_allow(settings, backend->name);
}
