/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "client/client.h"

#include "base/cleanup.h"

HF_PUBLIC const char *holdfast_version(void)
{
        return HF_VERSION;
}

HF_PUBLIC const char *holdfast_guarantee_name(unsigned int guarantee)
{
        static const char *const names[] = {
                [HOLDFAST_GUARANTEE_NONE] = "none",
                [HOLDFAST_GUARANTEE_HOST] = "host",
                [HOLDFAST_GUARANTEE_CLUSTER_ADVISORY] = "cluster-advisory",
                [HOLDFAST_GUARANTEE_CLUSTER_FENCED] = "cluster-fenced",
        };

        return names[guarantee < HF_ARRAY_LEN(names) ? guarantee : 0];
}
