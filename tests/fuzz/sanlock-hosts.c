/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/cleanup.h"
#include "driver/sanlock/daemon-status.h"
#include "fuzz.h"

#include <string.h>

/* Whatever the bytes are: no fault, and each host that is told has a number. */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        hf_cleanup_free char *text = malloc(size + 1);
        hf_cleanup_free struct hf_sanlock_host *hosts = NULL;
        size_t n;

        if (!text)
                return 0;
        memcpy(text, data, size);
        text[size] = '\0';
        if (hf_sanlock_hosts_parse(text, &hosts, &n, NULL) < 0)
                return 0;
        for (size_t i = 0; i < n; i++)
                FUZZ_PROMISE(hosts[i].id > 0 && strlen(hosts[i].name) <= 48);
        return 0;
}
