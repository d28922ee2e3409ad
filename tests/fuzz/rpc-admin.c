/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What comes from a client of the admin socket, and what a client of it gets. */

#include "payload.h"

#include "rpc/admin.h"

static const struct payload_decoder decoders[] = {
        PAYLOAD(hf_admin_flags_args),          PAYLOAD(hf_admin_server_args),
        PAYLOAD(hf_admin_list_servers_args),   PAYLOAD(hf_admin_list_clients_args),
        PAYLOAD(hf_admin_lookup_client_args),  PAYLOAD(hf_admin_client_get_info_args),
        PAYLOAD(hf_admin_get_lib_version_ret), PAYLOAD(hf_admin_list_servers_ret),
        PAYLOAD(hf_admin_lookup_server_ret),   PAYLOAD(hf_admin_get_threadpool_ret),
        PAYLOAD(hf_admin_list_clients_ret),    PAYLOAD(hf_admin_lookup_client_ret),
        PAYLOAD(hf_admin_client_get_info_ret), PAYLOAD(hf_admin_get_client_limits_ret),
        PAYLOAD(hf_admin_get_log_outputs_ret), PAYLOAD(hf_admin_get_log_filters_ret),
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        return payload_fuzz(decoders, HF_ARRAY_LEN(decoders), data, size);
}
