/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "rpc/errors.h"

#include "base/cleanup.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* virErrorLevel: 1 is a warning, 2 an error. */
#define LEVEL_ERROR 2

/* A class is a text that comes before the detail, and the errno that it is on our side. */
struct error_class {
        int code;
        int number;
        const char *prefix;
};

static const struct error_class classes[] = {
        {HF_ERR_INTERNAL, EIO, "internal error: "},
        {HF_ERR_INVALID_ARG, EINVAL, "invalid argument: "},
        {HF_ERR_OPERATION_DENIED, EPERM, "operation forbidden: "},
        {HF_ERR_SYSTEM, EIO, ""},
        {HF_ERR_RPC, EPROTO, ""},
        {HF_ERR_OPERATION_INVALID, EINVAL, "Requested operation is not valid: "},
        {HF_ERR_CONFIG_UNSUPPORTED, EOPNOTSUPP, "unsupported configuration: "},
        {HF_ERR_RESOURCE_BUSY, EBUSY, "resource busy: "},
        {HF_ERR_NO_SERVER, ENOENT, "Server not found: "},
        {HF_ERR_NO_CLIENT, ENOENT, "Client not found: "},
};

static const struct error_class *class_of(int code)
{
        for (size_t i = 0; i < HF_ARRAY_LEN(classes); i++)
                if (classes[i].code == code)
                        return &classes[i];
        return &classes[0];
}

/* Unknown flags have a form of their own: no class text, who and what in str1 and str2. */
static bool is_flags_error(const struct hf_error *err)
{
        return err->code == HF_ERR_INVALID_ARG &&
               (err->domain == HF_FROM_RPC || err->domain == HF_FROM_ADMIN);
}

int hf_rpc_put_error(uint8_t *buf, size_t cap, const struct hf_rpc_header *call,
                     const struct hf_error *err)
{
        struct hf_rpc_header header = hf_rpc_reply_to(call, HF_RPC_ERROR);
        bool flags = is_flags_error(err);
        const char *prefix = flags ? "" : class_of(err->code)->prefix;
        char message[HF_ERROR_TEXT_MAX + 64], format[64], detail[HF_ERROR_TEXT_MAX];
        hf_rpc_string text = message, str1 = format, str2 = detail;
        struct hf_rpc_error wire = {
                .code = err->code,
                .domain = err->domain,
                .message = &text,
                .level = LEVEL_ERROR,
                .str1 = &str1,
                .str2 = &str2,
                .int1 = flags                        ? 0
                        : err->code == HF_ERR_SYSTEM ? err->sys
                                                     : -1,
                .int2 = flags ? 0 : -1,
        };

        (void)snprintf(message, sizeof(message), "%s%s", prefix, err->text);
        (void)snprintf(format, sizeof(format), "%s%s", prefix, flags ? "holdfastd" : "%s");
        (void)snprintf(detail, sizeof(detail), "%s", flags ? "flags" : err->text);
        return hf_rpc_put(buf, cap, &header, (xdrproc_t)xdr_hf_rpc_error, &wire);
}

static void free_wire_error(struct hf_rpc_error *wire)
{
        hf_rpc_free((xdrproc_t)xdr_hf_rpc_error, wire);
}

int hf_rpc_get_error(const uint8_t *payload, size_t len, struct hf_error *ret)
{
        hf_cleanup(free_wire_error) struct hf_rpc_error wire = {0};
        const struct error_class *class;
        const char *text;
        int r;

        r = hf_rpc_get_payload(payload, len, (xdrproc_t)xdr_hf_rpc_error, &wire, ret);
        if (r < 0)
                return r;
        /* Behind the word of an object that is there, nothing is where we have read it. */
        if (wire.has_domain || wire.has_network)
                return hf_error_set(ret, EBADMSG, HF_ERR_RPC, HF_FROM_RPC,
                                    "the error that the daemon sent does not decode");
        class = class_of(wire.code);
        text = wire.message ? *wire.message : "";
        if (!strncmp(text, class->prefix, strlen(class->prefix)))
                text += strlen(class->prefix);
        r = hf_error_set(ret, class->number, wire.code, wire.domain, "%s",
                         *text ? text : "the daemon gave no reason");
        if (wire.code == HF_ERR_SYSTEM && wire.int1 > 0) {
                if (ret)
                        ret->sys = wire.int1;
                return -wire.int1;
        }
        return r;
}
