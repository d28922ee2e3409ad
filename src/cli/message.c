/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/message.h"

#include "base/cleanup.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

size_t hf_message_utf8(const char *from)
{
        const unsigned char *text = (const unsigned char *)from;
        static const struct {
                unsigned char mask, lead;
                unsigned int least;
        } forms[] = {{0x80, 0, 0}, {0xe0, 0xc0, 0x80}, {0xf0, 0xe0, 0x800}, {0xf8, 0xf0, 0x10000}};

        for (size_t n = 0; n < HF_ARRAY_LEN(forms); n++) {
                unsigned int value = text[0] & ~forms[n].mask;

                if ((text[0] & forms[n].mask) != forms[n].lead)
                        continue;
                for (size_t i = 1; i <= n; i++) {
                        if ((text[i] & 0xc0) != 0x80)
                                return 0;
                        value = value << 6 | (text[i] & 0x3f);
                }
                return value < forms[n].least || value > 0x10ffff ||
                                       (value >= 0xd800 && value < 0xe000)
                               ? 0
                               : n + 1;
        }
        return 0;
}

size_t hf_message_printable(const char *text)
{
        const unsigned char *c = (const unsigned char *)text;
        size_t n = hf_message_utf8(text);

        /* C0, DEL, and C1 */
        if (c[0] < ' ' || c[0] == 0x7f || (c[0] == 0xc2 && c[1] < 0xa0))
                return 0;
        return n;
}

char *hf_message_clean(char *text)
{
        char *to = text;

        for (const char *from = text; *from;) {
                size_t n = hf_message_printable(from), all = n ? n : hf_message_utf8(from);

                if (n)
                        memmove(to, from, n);
                else
                        *to = '?';
                to += n ? n : 1;
                from += all ? all : 1;
        }
        *to = '\0';
        return text;
}

void hf_message(const char *format, ...)
{
        char line[HF_MESSAGE_MAX] = "holdfast: ";
        size_t at = strlen(line), len;
        va_list args;

        va_start(args, format);
        (void)vsnprintf(line + at, sizeof(line) - at - 1, format, args);
        va_end(args);
        hf_message_clean(line);
        len = strlen(line);
        line[len] = '\n';
        /* Nothing better can be done about a stderr that takes nothing. */
        if (write(STDERR_FILENO, line, len + 1) < 0)
                return;
}

static int status_of_system(int number)
{
        switch (number) {
        case ENOENT:
        case ENOTDIR:
        case EISDIR:
        case ENOTSUP:
        case ESTALE: /* the daemon cannot open the file that we mean */
                return HF_EXIT_NO_IMAGE;
        case EACCES:
        case EPERM:
        case EROFS:
                return HF_EXIT_DENIED;
        default:
                return HF_EXIT_SYSTEM;
        }
}

int hf_message_status(const struct holdfast_error *err)
{
        switch (err->code) {
        case HOLDFAST_E_SYSTEM:
                return status_of_system(err->sys);
        case HOLDFAST_E_INVALID:
                return HF_EXIT_USAGE;
        case HOLDFAST_E_BUSY:
                return HF_EXIT_HELD;
        case HOLDFAST_E_STALE:
                return HF_EXIT_STALE;
        case HOLDFAST_E_NO_DAEMON:
        case HOLDFAST_E_PROTOCOL:
        case HOLDFAST_E_TIMEOUT:
                return HF_EXIT_NO_DAEMON;
        case HOLDFAST_E_DENIED:
                return HF_EXIT_DENIED;
        case HOLDFAST_E_CONFIG:
        case HOLDFAST_E_UNSUPPORTED:
                return HF_EXIT_CONFIG;
        default:
                return HF_EXIT_INTERNAL;
        }
}
