/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a client of the lock program sends. */

#include "payload.h"

#include "rpc/lock.h"

static const struct payload_decoder decoders[] = {
        PAYLOAD(hf_lock_register_args), PAYLOAD(hf_lock_restrict_args),  PAYLOAD(hf_lock_new_args),
        PAYLOAD(hf_lock_resource_args), PAYLOAD(hf_lock_lockspace_args),
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        return payload_fuzz(decoders, HF_ARRAY_LEN(decoders), data, size);
}
