/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Any bytes as the content of a lock file, and as the path of a device. */

#include "fuzz.h"

#include "console/uucp-private.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        char text[HF_UUCP_CONTENT + 1], path[256];
        size_t len = size < sizeof(path) ? size : sizeof(path) - 1;
        pid_t pid = hf_uucp_parse(data, size);
        struct hf_uucp_all all;

        FUZZ_PROMISE(pid >= 0);
        if (pid) {
                hf_uucp_format(pid, text);
                FUZZ_PROMISE(strlen(text) == HF_UUCP_CONTENT);
                FUZZ_PROMISE(hf_uucp_parse((const uint8_t *)text, HF_UUCP_CONTENT) == pid);
        }
        memcpy(path, data, len);
        path[len] = '\0';
        hf_uucp_all_names(path, (dev_t)size, &all);
        FUZZ_PROMISE(all.n <= HF_UUCP_LOOKED_MAX && all.n_made <= HF_UUCP_NAMES);
        for (size_t i = 0; i < all.n; i++)
                FUZZ_PROMISE(!strchr(all.names[i], '/') && !strncmp(all.names[i], "L", 1));
        return 0;
}
