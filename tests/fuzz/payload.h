/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Any bytes as the payload of a message: the first byte chooses the struct, the
 * rest is its XDR. What decodes must encode again, in no more room, and mean
 * the same after that; what does not must leave nothing behind (leaks are a
 * finding too).
 */

#include "fuzz.h"

#include "base/cleanup.h"
#include "rpc/message.h"

#include <string.h>

struct payload_decoder {
        xdrproc_t decode;
        size_t size;
};

#define PAYLOAD(type)                                                                              \
        {                                                                                          \
                (xdrproc_t) xdr_##type, sizeof(struct type)                                        \
        }

/* Encodes what was decoded from size bytes. Returns its length. */
static inline int payload_encode(const struct payload_decoder *decoder, const void *decoded,
                                 size_t size, uint8_t **ret)
{
        static const struct hf_rpc_header header;
        size_t cap = HF_RPC_HEADER_SIZE + size;
        int len;

        *ret = malloc(cap);
        FUZZ_PROMISE(*ret);
        len = hf_rpc_put(*ret, cap, &header, decoder->decode, decoded);
        FUZZ_PROMISE(len >= HF_RPC_HEADER_SIZE);
        return len;
}

static inline void payload_check(const struct payload_decoder *decoder, const uint8_t *data,
                                 size_t size)
{
        _Alignas(max_align_t) char out[512] = {0}, again[512] = {0};
        hf_cleanup_free uint8_t *first = NULL, *second = NULL;
        struct hf_error err = {0};
        int len;

        FUZZ_PROMISE(decoder->size <= sizeof(out));
        if (hf_rpc_get_payload(data, size, decoder->decode, out, &err) < 0) {
                FUZZ_PROMISE(*err.text);
                return;
        }
        len = payload_encode(decoder, out, size, &first);
        FUZZ_PROMISE(hf_rpc_get_payload(first + HF_RPC_HEADER_SIZE,
                                        (size_t)len - HF_RPC_HEADER_SIZE, decoder->decode, again,
                                        NULL) == 0);
        FUZZ_PROMISE(payload_encode(decoder, again, size, &second) == len);
        FUZZ_PROMISE(!memcmp(first, second, (size_t)len));
        hf_rpc_free(decoder->decode, out);
        hf_rpc_free(decoder->decode, again);
}

static inline int payload_fuzz(const struct payload_decoder *decoders, size_t n,
                               const uint8_t *data, size_t size)
{
        if (size > 0)
                payload_check(&decoders[data[0] % n], data + 1, size - 1);
        return 0;
}
