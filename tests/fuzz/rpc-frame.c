/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Any bytes as a frame: the length word is within its limits or refused, the header survives. */

#include "fuzz.h"

#include "rpc/message.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        uint8_t again[HF_RPC_HEADER_SIZE];
        struct hf_rpc_header header, reply;
        int64_t length;

        if (size < HF_RPC_LENGTH_SIZE)
                return 0;
        length = hf_rpc_length(data);
        FUZZ_PROMISE(length < 0 || (length >= HF_RPC_HEADER_SIZE &&
                                    length <= HF_RPC_BODY_MAX + HF_RPC_LENGTH_SIZE));
        if (size < HF_RPC_HEADER_SIZE)
                return 0;
        hf_rpc_get_header(data, &header);
        FUZZ_PROMISE(hf_rpc_put(again, sizeof(again), &header, NULL, NULL) == HF_RPC_HEADER_SIZE);
        FUZZ_PROMISE(hf_rpc_length(again) == HF_RPC_HEADER_SIZE);
        FUZZ_PROMISE(!memcmp(again + HF_RPC_LENGTH_SIZE, data + HF_RPC_LENGTH_SIZE,
                             HF_RPC_HEADER_SIZE - HF_RPC_LENGTH_SIZE));
        reply = hf_rpc_reply_to(&header, HF_RPC_ERROR);
        FUZZ_PROMISE(reply.serial == header.serial && reply.type == HF_RPC_REPLY);
        return 0;
}
