/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Any bytes as commands of some initiators, one after the other: 5 bytes a command (who and when;
 * opcode and service action; scope and type; the key; the service action key and flags). Whatever
 * they ask for, the state is one that there can be.
 */

#include "fuzz.h"

#include "prhelper/emulated/state-text.h"

#include <string.h>

#define STEP 5

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        static const char *const names[] = {"a", "b", "a/x", "c"};
        static uint8_t list[HF_PR_DATA_MAX];
        struct hf_pr_state state = {0};
        uint64_t now = 1;

        for (; size >= STEP; data += STEP, size -= STEP) {
                uint8_t cdb[HF_PR_CDB_SIZE] = {data[1] & 0x80 ? HF_PR_IN : HF_PR_OUT,
                                               data[1] & 0x1f, data[2]};
                struct hf_scsi_result result;
                uint32_t generation = state.generation;
                size_t n = state.n;
                int changed;

                memset(list, 0, sizeof(list));
                list[7] = data[3];
                list[15] = data[4] & 0x1f;
                list[20] = data[4] >> 5;
                cdb[8] = data[1] & 0x40 ? data[3] : HF_PR_LIST_SIZE;
                now += data[0] >> 2;
                changed = hf_pr_model(&state, names[data[0] & 3], now * now, cdb, list, &result);
                FUZZ_PROMISE(changed == 0 || changed == 1);
                FUZZ_PROMISE(changed || (generation == state.generation && n == state.n));
                FUZZ_PROMISE(result.size <= cdb[8] && (result.size == 0 || cdb[0] == HF_PR_IN));
                FUZZ_PROMISE(result.status == HF_SCSI_GOOD || result.size == 0);
                FUZZ_PROMISE(hf_pr_state_sound(&state));
        }
        hf_pr_state_clear(&state);
        return 0;
}
