/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vm/qmp.h"

#include <stdint.h>
#include <string.h>

/*
 * Whatever a monitor sends, and in whatever pieces: no fault, no more than the few commands of
 * a conversation, and nothing is called done that was not commanded.
 */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct hf_qmp qmp;

static void talk(enum hf_qmp_goal goal, const char *bytes, size_t len, size_t piece)
{
        unsigned int commands = 0;
        const char *command;

        hf_qmp_begin(&qmp, goal);
        for (size_t at = 0; at < len;) {
                size_t n = len - at < piece ? len - at : piece;
                size_t taken = hf_qmp_feed(&qmp, bytes + at, n, &command);

                if (taken == 0 || taken > n)
                        __builtin_trap();
                at += taken;
                commands += command ? 1 : 0;
        }
        if (commands > 6 || (qmp.state == HF_QMP_DONE && !qmp.commanded))
                __builtin_trap();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        talk(HF_QMP_STOP, (const char *)data, size, size ? size : 1);
        talk(HF_QMP_CONT, (const char *)data, size, 3);
        talk(HF_QMP_QUIT, (const char *)data, size, 3);
        talk(HF_QMP_SETTLE, (const char *)data, size, 7);
        talk(HF_QMP_RESUME, (const char *)data, size, size ? size : 1);
        return 0;
}
