/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "client/client.h"

#include "base/error-class.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

/* One set of numbers, so that no table has to be kept in step. */
_Static_assert((int)HOLDFAST_E_SYSTEM == (int)HF_CLASS_SYSTEM &&
                       (int)HOLDFAST_E_BUSY == (int)HF_CLASS_BUSY &&
                       (int)HOLDFAST_E_INTERNAL == (int)HF_CLASS_INTERNAL,
               "public codes and classes have the same numbers");
_Static_assert((int)HOLDFAST_E_SYSTEM == (int)HF_LOCK_E_SYSTEM &&
                       (int)HOLDFAST_E_BUSY == (int)HF_LOCK_E_BUSY &&
                       (int)HOLDFAST_E_STALE == (int)HF_LOCK_E_STALE &&
                       (int)HOLDFAST_E_INTERNAL == (int)HF_LOCK_E_INTERNAL,
               "public codes and those of drivers have the same numbers");
_Static_assert((int)HOLDFAST_GUARANTEE_CLUSTER_FENCED == (int)HF_GUARANTEE_CLUSTER_FENCED,
               "public guarantees and those of drivers have the same numbers");

static void fill(struct holdfast_error *err, int code, int sys, const char *text)
{
        err->code = code;
        err->sys = sys;
        (void)snprintf(err->text, sizeof(err->text), "%s", text);
}

int hf_fail(struct holdfast_error *err, int number, int code, const char *format, ...)
{
        va_list args;

        if (err) {
                err->code = code;
                err->sys = code == HOLDFAST_E_SYSTEM ? number : 0;
                va_start(args, format);
                (void)vsnprintf(err->text, sizeof(err->text), format, args);
                va_end(args);
        }
        return -number;
}

int hf_fail_from(struct holdfast_error *err, int r, const struct hf_error *error)
{
        if (err)
                fill(err, (int)hf_error_class(r, error), error->sys, error->text);
        return r;
}

int hf_fail_from_driver(struct holdfast_error *err, int r, const struct hf_lock_error *error)
{
        if (err)
                fill(err, error->code == HF_LOCK_OK ? HOLDFAST_E_INTERNAL : error->code, error->sys,
                     error->text[0] ? error->text : "the lock driver gave no reason");
        return r;
}

int hf_fail_no_memory(struct holdfast_error *err)
{
        return hf_fail(err, ENOMEM, HOLDFAST_E_SYSTEM, "out of memory");
}
