/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "cli/message.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

bool hf_message_is_control(const char *text)
{
        const unsigned char *c = (const unsigned char *)text;

        return c[0] < ' ' || c[0] == 0x7f || (c[0] == 0xc2 && c[1] >= 0x80 && c[1] < 0xa0);
}

char *hf_message_clean(char *text)
{
        for (char *c = text; *c; c++)
                if (hf_message_is_control(c))
                        *c = '?';
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
