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
static struct hf_qmp_chardevs chardevs;

static void begin(enum hf_qmp_goal goal)
{
        if (goal == HF_QMP_CHARDEVS)
                hf_qmp_begin_chardevs(&qmp, &chardevs);
        else if (goal == HF_QMP_BREAK)
                hf_qmp_begin_break(&qmp, "serial0");
        else
                hf_qmp_begin(&qmp, goal);
}

static void talk(enum hf_qmp_goal goal, const char *bytes, size_t len, size_t piece)
{
        unsigned int commands = 0;
        const char *command;

        begin(goal);
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
        talk(HF_QMP_BREAK, (const char *)data, size, 5);
        talk(HF_QMP_CHARDEVS, (const char *)data, size, size ? size : 1);
        for (size_t i = 0; qmp.state == HF_QMP_DONE && i < chardevs.n; i++)
                if (strnlen(chardevs.list[i].label, HF_QMP_NAME_MAX + 1) > HF_QMP_NAME_MAX ||
                    (hf_qmp_chardev_pty(&chardevs.list[i]) &&
                     *hf_qmp_chardev_pty(&chardevs.list[i]) != '/'))
                        __builtin_trap();
        return 0;
}
