/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a client of the HOLDFAST program sends, and what it gets. */

#include "payload.h"

#include "rpc/holdfast.h"

static const struct payload_decoder decoders[] = {
        PAYLOAD(hf_holdfast_hello_args),       PAYLOAD(hf_holdfast_acquire_args),
        PAYLOAD(hf_holdfast_list_args),        PAYLOAD(hf_holdfast_who_args),
        PAYLOAD(hf_holdfast_hello_ret),        PAYLOAD(hf_holdfast_acquire_ret),
        PAYLOAD(hf_holdfast_list_owners_ret),  PAYLOAD(hf_holdfast_list_locks_ret),
        PAYLOAD(hf_holdfast_who_ret),          PAYLOAD(hf_holdfast_events_args),
        PAYLOAD(hf_holdfast_event_list),       PAYLOAD(hf_holdfast_metrics_ret),
        PAYLOAD(hf_holdfast_acquire_set_args), PAYLOAD(hf_holdfast_acquire_set_ret),
        PAYLOAD(hf_holdfast_waiting),          PAYLOAD(hf_holdfast_release_set_args),
        PAYLOAD(hf_holdfast_list_waiters_ret), PAYLOAD(hf_holdfast_client_args),
        PAYLOAD(hf_holdfast_leave_args),
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        return payload_fuzz(decoders, HF_ARRAY_LEN(decoders), data, size);
}
