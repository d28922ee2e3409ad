/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/error.h"

#include <stdio.h>
#include <string.h>

/* Cuts a half character of UTF-8 that a full buffer may have left at the end. */
static void trim_partial_character(char *text)
{
        size_t len = strlen(text), start = len;

        if (len < HF_ERROR_TEXT_MAX - 1)
                return;
        while (start > 0 && ((unsigned char)text[start - 1] & 0xc0) == 0x80)
                start--;
        if (start > 0 && ((unsigned char)text[start - 1] & 0x80))
                text[start - 1] = '\0';
}

static void __attribute__((format(printf, 2, 0)))
set_text(struct hf_error *err, const char *format, va_list args)
{
        (void)vsnprintf(err->text, sizeof(err->text), format, args);
        trim_partial_character(err->text);
}

int hf_error_set(struct hf_error *err, int number, int code, int domain, const char *format, ...)
{
        va_list args;

        if (err) {
                err->code = code;
                err->domain = domain;
                err->sys = 0;
                va_start(args, format);
                set_text(err, format, args);
                va_end(args);
        }
        return -number;
}

int hf_error_sys(struct hf_error *err, int number, const char *format, ...)
{
        char words[128];
        va_list args;
        size_t used;

        if (!err)
                return -number;
        err->code = HF_ERR_SYSTEM;
        err->domain = HF_FROM_LOCKSPACE;
        err->sys = number;
        va_start(args, format);
        set_text(err, format, args);
        va_end(args);
        used = strlen(err->text);
        (void)snprintf(err->text + used, sizeof(err->text) - used, ": %s",
                       strerror_r(number, words, sizeof(words)));
        trim_partial_character(err->text);
        return -number;
}

void hf_error_prefix(struct hf_error *err, const char *format, ...)
{
        char old[HF_ERROR_TEXT_MAX];
        va_list args;
        size_t used;

        if (!err)
                return;
        memcpy(old, err->text, sizeof(old));
        va_start(args, format);
        set_text(err, format, args);
        va_end(args);
        used = strlen(err->text);
        (void)snprintf(err->text + used, sizeof(err->text) - used, ": %s", old);
        trim_partial_character(err->text);
}
