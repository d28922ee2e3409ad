/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Any bytes as the Report of an NVMe controller, and as a command that is to become NVMe's. */

#include "fuzz.h"

#include "prhelper/device/nvme-translate.h"

static struct hf_nvme_report report;

static void answer(uint8_t rescap, size_t room)
{
        static uint8_t out[HF_PR_DATA_MAX + 1];

        for (unsigned int action = 0; action < 5; action++) {
                int size;

                out[room] = 0xee;
                size = hf_nvme_in(action, &report, rescap, out, room);
                FUZZ_PROMISE(size <= (int)room && (size >= 0 || action == 4));
                FUZZ_PROMISE(out[room] == 0xee);
        }
}

static void plan(const uint8_t *data, size_t size)
{
        struct hf_nvme_plan made;
        struct hf_pr_out out;

        if (size < HF_PR_CDB_SIZE ||
            hf_pr_out_decode(data, data + HF_PR_CDB_SIZE, size - HF_PR_CDB_SIZE, &out) !=
                    HF_PR_FAULT_NONE ||
            hf_nvme_plan(&out, size - HF_PR_CDB_SIZE, &made) != HF_PR_FAULT_NONE)
                return;
        FUZZ_PROMISE(made.probe || made.first.opcode);
        FUZZ_PROMISE(made.first.size <= HF_NVME_KEYS_SIZE);
        FUZZ_PROMISE(!made.again || made.second.opcode == made.first.opcode);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct hf_scsi_result result;

        plan(data, size);
        if (size < 2)
                return 0;
        hf_nvme_result((unsigned int)(data[0] << 8 | data[1]), data[0] & 7, &result);
        FUZZ_PROMISE(result.size == 0);
        if (hf_nvme_report_decode(data + 1, size - 1, data[0] & 1, &report) < 0)
                return 0;
        FUZZ_PROMISE(report.n <= HF_NVME_REGISTRANTS_MAX);
        answer(data[1], (size_t)data[0] * 33 > HF_PR_DATA_MAX ? HF_PR_DATA_MAX : data[0] * 33U);
        return 0;
}
