/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "rpc/message.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

int64_t hf_rpc_length(const uint8_t word[static HF_RPC_LENGTH_SIZE])
{
        uint32_t length;

        memcpy(&length, word, sizeof(length));
        length = ntohl(length);
        if (length < HF_RPC_HEADER_SIZE || length > HF_RPC_BODY_MAX + HF_RPC_LENGTH_SIZE)
                return -EBADMSG;
        return length;
}

void hf_rpc_get_header(const uint8_t *message, struct hf_rpc_header *ret)
{
        uint32_t words[6];

        memcpy(words, message + HF_RPC_LENGTH_SIZE, sizeof(words));
        ret->prog = ntohl(words[0]);
        ret->vers = ntohl(words[1]);
        ret->proc = (int)ntohl(words[2]);
        ret->type = ntohl(words[3]);
        ret->serial = ntohl(words[4]);
        ret->status = ntohl(words[5]);
}

static void put_header(uint8_t *buf, uint32_t length, const struct hf_rpc_header *header)
{
        uint32_t words[7] = {
                htonl(length),         htonl(header->prog),
                htonl(header->vers),   htonl((uint32_t)header->proc),
                htonl(header->type),   htonl(header->serial),
                htonl(header->status),
        };

        memcpy(buf, words, sizeof(words));
}

int hf_rpc_keepalive(const struct hf_rpc_header *header, struct hf_rpc_header *ret_pong)
{
        if (header->prog != HF_KEEPALIVE_PROGRAM)
                return -1;
        if (header->vers != HF_KEEPALIVE_VERSION || header->type != HF_RPC_MESSAGE ||
            header->proc != HF_KEEPALIVE_PING)
                return 0;
        *ret_pong = *header;
        ret_pong->proc = HF_KEEPALIVE_PONG;
        return 1;
}

int hf_rpc_get_payload(const uint8_t *payload, size_t len, xdrproc_t proc, void *out,
                       struct hf_error *err)
{
        XDR xdr;
        bool ok;

        /* xdrmem takes a char pointer for both directions; decoding does not write there. */
        xdrmem_create(&xdr, (char *)(uintptr_t)payload, (unsigned int)len, XDR_DECODE);
        ok = proc(&xdr, out);
        xdr_destroy(&xdr);
        if (ok)
                return 0;
        hf_rpc_free(proc, out);
        return hf_error_set(err, EBADMSG, HF_ERR_RPC, HF_FROM_RPC,
                            "the arguments of the call do not decode");
}

void hf_rpc_free(xdrproc_t proc, void *decoded)
{
        xdr_free(proc, decoded);
}

int hf_rpc_put(uint8_t *buf, size_t cap, const struct hf_rpc_header *header, xdrproc_t proc,
               const void *payload)
{
        unsigned int used = 0;
        XDR xdr;
        bool ok;

        if (cap < HF_RPC_HEADER_SIZE)
                return -EMSGSIZE;
        if (proc) {
                xdrmem_create(&xdr, (char *)buf + HF_RPC_HEADER_SIZE,
                              (unsigned int)(cap - HF_RPC_HEADER_SIZE), XDR_ENCODE);
                ok = proc(&xdr, (void *)(uintptr_t)payload);
                used = xdr_getpos(&xdr);
                xdr_destroy(&xdr);
                if (!ok)
                        return -EMSGSIZE;
        }
        put_header(buf, HF_RPC_HEADER_SIZE + used, header);
        return (int)(HF_RPC_HEADER_SIZE + used);
}

struct hf_rpc_header hf_rpc_reply_to(const struct hf_rpc_header *call, unsigned int status)
{
        struct hf_rpc_header reply = *call;

        reply.type = HF_RPC_REPLY;
        reply.status = status;
        return reply;
}
