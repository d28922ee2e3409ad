/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/cleanup.h"
#include "storage/nfs-lease.h"

#include <string.h>

/* Whatever the bytes are: no fault, and what was found can be asked for. */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        hf_cleanup_nfs_leases struct hf_nfs_leases *leases = NULL;
        hf_cleanup_free char *text = malloc(size + 1);
        const struct hf_nfs_lease *lease;

        if (!text)
                return 0;
        memcpy(text, data, size);
        text[size] = '\0';
        if (hf_nfs_leases_parse(text, &leases) < 0)
                return 0;
        lease = hf_nfs_leases_at(leases, "/mnt");
        if (lease && (strcmp(lease->point, "/mnt") != 0 || lease->seconds > 86400))
                __builtin_trap();
        return 0;
}
