/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Any bytes as an error reply. It is an error whatever they are, with words to
 * it; and one that decoded can be sent on.
 */

#include "fuzz.h"

#include "rpc/errors.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        static const struct hf_rpc_header call;
        uint8_t buf[8 * HF_ERROR_TEXT_MAX];
        struct hf_error err = {0}, again = {0};
        int r, len;

        r = hf_rpc_get_error(data, size, &err);
        FUZZ_PROMISE(r < 0 && *err.text && memchr(err.text, '\0', sizeof(err.text)));
        FUZZ_PROMISE(hf_rpc_get_error(data, size, NULL) == r);
        FUZZ_PROMISE(err.sys >= 0 && (err.code == HF_ERR_SYSTEM || !err.sys));
        len = hf_rpc_put_error(buf, sizeof(buf), &call, &err);
        FUZZ_PROMISE(len > HF_RPC_HEADER_SIZE);
        FUZZ_PROMISE(hf_rpc_get_error(buf + HF_RPC_HEADER_SIZE, (size_t)len - HF_RPC_HEADER_SIZE,
                                      &again) < 0);
        FUZZ_PROMISE(again.code == err.code && again.domain == err.domain && again.sys == err.sys);
        return 0;
}
