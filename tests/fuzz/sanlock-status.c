/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/cleanup.h"
#include "driver/sanlock/daemon-status.h"
#include "fuzz.h"

#include <string.h>

/* Whatever the bytes are: no fault, and all that is told is whole. */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        hf_cleanup_free char *text = malloc(size + 1);
        struct hf_sanlock_daemon status;

        if (!text)
                return 0;
        memcpy(text, data, size);
        text[size] = '\0';
        if (hf_sanlock_status_parse(text, &status, NULL) < 0)
                return 0;
        for (size_t i = 0; i < status.n_processes; i++)
                FUZZ_PROMISE(status.processes[i].pid > 0 && strlen(status.processes[i].name) <= 48);
        for (size_t i = 0; i < status.n_spaces; i++)
                FUZZ_PROMISE(status.spaces[i].path && strlen(status.spaces[i].name) <= 48);
        for (size_t i = 0; i < status.n_held; i++)
                FUZZ_PROMISE(status.held[i].path && strlen(status.held[i].key) <= 48);
        hf_sanlock_status_clear(&status);
        return 0;
}
