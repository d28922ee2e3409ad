/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Any 16 bytes as a CDB, and any behind them as its parameter list. */

#include "fuzz.h"

#include "scsi/pr.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        static struct hf_pr_out out, again;
        static uint8_t list[HF_PR_DATA_MAX];
        uint8_t cdb[HF_PR_CDB_SIZE];
        enum hf_pr_fault fault;
        int length;

        if (size < HF_PR_CDB_SIZE)
                return 0;
        memset(&out, 0xee, sizeof(out));
        fault = hf_pr_out_decode(data, data + HF_PR_CDB_SIZE, size - HF_PR_CDB_SIZE, &out);
        FUZZ_PROMISE(fault == HF_PR_FAULT_NONE || fault == HF_PR_FAULT_LENGTH ||
                     fault == HF_PR_FAULT_FIELD);
        if (fault != HF_PR_FAULT_NONE) {
                FUZZ_PROMISE(out.action == 0xee);
                return 0;
        }
        FUZZ_PROMISE(out.n_ids <= HF_PR_IDS_MAX && out.action < 32 && out.type < 16 &&
                     out.scope < 16);
        length = hf_pr_out_encode(&out, cdb, list, sizeof(list));
        FUZZ_PROMISE(length >= HF_PR_LIST_SIZE && hf_pr_length(cdb) == (size_t)length);
        FUZZ_PROMISE(hf_pr_out_decode(cdb, list, (size_t)length, &again) == HF_PR_FAULT_NONE);
        FUZZ_PROMISE(again.key == out.key && again.new_key == out.new_key &&
                     again.n_ids == out.n_ids && again.aptpl == out.aptpl);
        return 0;
}
