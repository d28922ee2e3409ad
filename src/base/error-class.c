/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/error-class.h"

#include <errno.h>
#include <stddef.h>

#include "base/cleanup.h"

static const struct {
        int code;
        enum hf_error_class class;
} classes[] = {
        {HF_ERR_INTERNAL, HF_CLASS_INTERNAL},
        {HF_ERR_INVALID_ARG, HF_CLASS_INVALID},
        {HF_ERR_OPERATION_DENIED, HF_CLASS_DENIED},
        {HF_ERR_SYSTEM, HF_CLASS_SYSTEM},
        {HF_ERR_RPC, HF_CLASS_PROTOCOL},
        {HF_ERR_OPERATION_INVALID, HF_CLASS_INVALID},
        {HF_ERR_CONFIG_UNSUPPORTED, HF_CLASS_UNSUPPORTED},
        {HF_ERR_RESOURCE_BUSY, HF_CLASS_BUSY},
};

enum hf_error_class hf_error_class(int r, const struct hf_error *err)
{
        if (r >= 0)
                return HF_CLASS_OK;
        if (r == -ETIMEDOUT)
                return HF_CLASS_TIMEOUT;
        if (r == -EACCES || r == -EPERM)
                return HF_CLASS_DENIED;
        for (size_t i = 0; i < HF_ARRAY_LEN(classes); i++)
                if (classes[i].code == err->code)
                        return classes[i].class;
        return HF_CLASS_INTERNAL;
}
