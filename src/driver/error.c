/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "driver/error.h"

#include "base/error-class.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

int hf_driver_fail(struct hf_lock_error *err, int r, const struct hf_error *error)
{
        err->code = (int)hf_error_class(r, error);
        err->sys = error->sys;
        (void)snprintf(err->text, sizeof(err->text), "%s", error->text);
        return r;
}

int hf_driver_refuse(struct hf_lock_error *err, int number, int code, const char *format, ...)
{
        va_list args;

        err->code = code;
        err->sys = code == HF_LOCK_E_SYSTEM ? number : 0;
        va_start(args, format);
        (void)vsnprintf(err->text, sizeof(err->text), format, args);
        va_end(args);
        return -number;
}

int hf_driver_no_memory(struct hf_lock_error *err)
{
        return hf_driver_refuse(err, ENOMEM, HF_LOCK_E_SYSTEM, "out of memory");
}
