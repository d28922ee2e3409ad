/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "storage/kernel-text.h"

#include "base/cleanup.h"

#include <errno.h>
#include <unistd.h>

/* The statistics of a host with some thousand mounts, which need a page each, and some. */
#define TEXT_MAX ((size_t)64 << 20)

char *hf_kernel_text(int fd)
{
        size_t room = 16384, used = 0;
        hf_cleanup_free char *text = malloc(room);

        while (text) {
                ssize_t got = read(fd, text + used, room - used - 1);
                char *more;

                if (got < 0 && errno == EINTR)
                        continue;
                if (got < 0)
                        return NULL;
                used += (size_t)got;
                text[used] = '\0';
                if (got == 0)
                        return hf_steal_ptr(text);
                if (room - used > 4096)
                        continue;
                if (room >= TEXT_MAX) {
                        errno = EFBIG;
                        return NULL;
                }
                more = realloc(text, room * 2);
                if (!more)
                        return NULL;
                text = more;
                room *= 2;
        }
        return NULL;
}

void hf_kernel_text_unescape(char *text)
{
        char *to = text;

        for (const char *at = text; *at; at++) {
                if (at[0] == '\\' && at[1] >= '0' && at[1] <= '3' && at[2] && at[3]) {
                        *to++ = (char)((at[1] - '0') * 64 + (at[2] - '0') * 8 + (at[3] - '0'));
                        at += 3;
                } else {
                        *to++ = *at;
                }
        }
        *to = '\0';
}
