/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/cleanup.h"
#include "rpc/admin.h"
#include "rpc/message.h"

/*
 * What comes from a client of the admin socket, and what a client of it gets:
 * the first byte chooses the struct, the rest is its payload.
 */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define DECODER(type)                                                                              \
        {                                                                                          \
                (xdrproc_t) xdr_##type, sizeof(struct type)                                        \
        }

static const struct {
        xdrproc_t decode;
        size_t size;
} decoders[] = {
        DECODER(hf_admin_flags_args),          DECODER(hf_admin_server_args),
        DECODER(hf_admin_list_servers_args),   DECODER(hf_admin_list_clients_args),
        DECODER(hf_admin_lookup_client_args),  DECODER(hf_admin_client_get_info_args),
        DECODER(hf_admin_get_lib_version_ret), DECODER(hf_admin_list_servers_ret),
        DECODER(hf_admin_lookup_server_ret),   DECODER(hf_admin_get_threadpool_ret),
        DECODER(hf_admin_list_clients_ret),    DECODER(hf_admin_lookup_client_ret),
        DECODER(hf_admin_client_get_info_ret), DECODER(hf_admin_get_client_limits_ret),
        DECODER(hf_admin_get_log_outputs_ret), DECODER(hf_admin_get_log_filters_ret),
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        _Alignas(max_align_t) char out[256] = {0};
        struct hf_error err;
        size_t i;

        if (size == 0)
                return 0;
        i = data[0] % HF_ARRAY_LEN(decoders);
        if (decoders[i].size > sizeof(out))
                abort();
        if (hf_rpc_get_payload(data + 1, size - 1, decoders[i].decode, out, &err) >= 0)
                hf_rpc_free(decoders[i].decode, out);
        return 0;
}
