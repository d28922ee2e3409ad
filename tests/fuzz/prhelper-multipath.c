/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Any bytes as a command for a multipath device, and as what the library answers. */

#include "fuzz.h"

#include "prhelper/device/mpath-translate.h"

#include <string.h>

static void check_id(const struct hf_mpath_command *command, size_t i)
{
        const struct hf_mpath_id *id = command->out.ids[i];

        FUZZ_PROMISE(id == &command->ids[i]);
        FUZZ_PROMISE(id->protocol != HF_TRANSPORT_ISCSI ||
                     memchr(id->name, '\0', sizeof(id->name)));
}

static void decode(const uint8_t *data, size_t size)
{
        static struct hf_mpath_command command;

        if (size < HF_PR_CDB_SIZE)
                return;
        if (hf_mpath_decode(data, data + HF_PR_CDB_SIZE, size - HF_PR_CDB_SIZE, &command) !=
            HF_PR_FAULT_NONE)
                return;
        FUZZ_PROMISE(command.action <= HF_PR_REGISTER_AND_IGNORE && command.type <= 0xf);
        FUZZ_PROMISE(command.out.n_ids <= HF_PR_IDS_MAX);
        for (size_t i = 0; i < command.out.n_ids; i++)
                check_id(&command, i);
}

static void encode(const uint8_t *data, size_t size)
{
        static union hf_mpath_in answer;
        static uint8_t out[HF_PR_DATA_MAX + 1];
        size_t room = size ? (size_t)data[0] * 33 : 0;

        if (room > HF_PR_DATA_MAX)
                room = HF_PR_DATA_MAX;
        memset(&answer, 0, sizeof(answer));
        memcpy(&answer, data, size < sizeof(answer) ? size : sizeof(answer));
        for (int action = 0; action <= HF_PR_REPORT_CAPABILITIES; action++) {
                out[room] = 0xee;
                FUZZ_PROMISE(hf_mpath_encode(action, &answer, out, room) == room);
                FUZZ_PROMISE(out[room] == 0xee);
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct hf_scsi_result result;

        decode(data, size);
        encode(data, size);
        (void)hf_mpath_result(size ? (int8_t)data[0] : 0, &result);
        FUZZ_PROMISE(result.size == 0);
        return 0;
}
