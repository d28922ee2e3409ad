/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "driver/sanlock/codes.h"

#include "base/cleanup.h"

#include <errno.h>
#include <sanlock_rv.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define ANY      UINT32_MAX
#define OF(call) (1U << (call))

static const struct {
        int rv;
        unsigned int calls; /* bits of enum hf_sanlock_call */
        struct hf_sanlock_code entry;
} table[] = {
        {-ENOENT,
         OF(HF_SANLOCK_REGISTER) | OF(HF_SANLOCK_HOSTS) | OF(HF_SANLOCK_LEAVE),
         {ENOENT, HF_LOCK_E_NO_DAEMON, "no sanlock daemon answers here: start it"}},
        {-ECONNREFUSED,
         ANY,
         {ECONNREFUSED, HF_LOCK_E_NO_DAEMON, "no sanlock daemon answers here: start it"}},
        {-EACCES, ANY, {EACCES, HF_LOCK_E_DENIED, "the user may not use the sanlock daemon"}},
        {-ENOENT, ANY, {ENOENT, HF_LOCK_E_SYSTEM, "its lease file is missing"}},
        {-ESRCH,
         ANY,
         {ESRCH, HF_LOCK_E_INVALID,
          "not under lock control: the sanlock daemon was restarted, or the VM was started without "
          "it"}},
        {-EAGAIN, ANY, {EBUSY, HF_LOCK_E_BUSY, "it is in use, or is being released: try again"}},
        {-EBUSY, ANY, {EBUSY, HF_LOCK_E_BUSY, "another process is just taking it: try again"}},
        {-EEXIST, ANY, {EBUSY, HF_LOCK_E_BUSY, "another process of this host has it"}},
        {-ENOSPC,
         ANY,
         {ENOSPC, HF_LOCK_E_SYSTEM, "this host has not joined its lockspace, or has lost it"}},
        {-ETIMEDOUT,
         ANY,
         {ETIMEDOUT, HF_LOCK_E_TIMEOUT, "the sanlock daemon did not answer in time"}},
        {SANLK_AIO_TIMEOUT, ANY, {EIO, HF_LOCK_E_SYSTEM, "the lease's storage did not answer"}},
        {SANLK_WD_ERROR, ANY, {EIO, HF_LOCK_E_SYSTEM, "the watchdog (wdmd) does not answer"}},
        {SANLK_LEADER_MAGIC, ANY, {EINVAL, HF_LOCK_E_SYSTEM, "there is no lease at that place"}},
        {SANLK_LEADER_LOCKSPACE,
         ANY,
         {EINVAL, HF_LOCK_E_INVALID, "the lease at that place is of another lockspace"}},
        {SANLK_LEADER_RESOURCE,
         ANY,
         {EINVAL, HF_LOCK_E_INVALID, "the lease at that place has another name"}},
        {SANLK_ACQUIRE_LVER, ANY, {ESTALE, HF_LOCK_E_STALE, "it was used elsewhere meanwhile"}},
        {SANLK_ACQUIRE_IDLIVE, ANY, {EBUSY, HF_LOCK_E_BUSY, "another host has it"}},
        {SANLK_ACQUIRE_OWNED, ANY, {EBUSY, HF_LOCK_E_BUSY, "another host has just taken it"}},
        {SANLK_ACQUIRE_OTHER, ANY, {EBUSY, HF_LOCK_E_BUSY, "another host has just taken it"}},
        {SANLK_ACQUIRE_SHRETRY, ANY, {EBUSY, HF_LOCK_E_BUSY, "others are taking it: try again"}},
        {SANLK_ACQUIRE_OWNED_RETRY,
         ANY,
         {EBUSY, HF_LOCK_E_BUSY, "a host has it that is lost: it can be had later"}},
        {SANLK_HOSTID_BUSY, ANY, {EADDRINUSE, HF_LOCK_E_CONFIG, "another host uses this host id"}},
};

static const struct hf_sanlock_code unknown_own = {EIO, HF_LOCK_E_SYSTEM, "sanlock failed"};

const struct hf_sanlock_code *hf_sanlock_code(enum hf_sanlock_call call, int rv)
{
        for (size_t i = 0; i < HF_ARRAY_LEN(table); i++)
                if (table[i].rv == rv && (table[i].calls & OF(call)))
                        return &table[i].entry;
        return &unknown_own;
}

int hf_sanlock_fail(struct hf_lock_error *err, enum hf_sanlock_call call, int rv,
                    const char *format, ...)
{
        const struct hf_sanlock_code *code = hf_sanlock_code(call, rv);
        char what[HF_LOCK_ERROR_TEXT_MAX / 2];
        va_list args;

        va_start(args, format);
        (void)vsnprintf(what, sizeof(what), format, args);
        va_end(args);
        err->code = code->code;
        err->sys = code->code == HF_LOCK_E_SYSTEM ? code->number : 0;
        (void)snprintf(err->text, sizeof(err->text), "%s: %s (sanlock: %d)", what, code->text, rv);
        return -code->number;
}
