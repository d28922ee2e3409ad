/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/console-output.h"

#include "base/cleanup.h"
#include "base/clock.h"

#include <errno.h>
#include <langinfo.h>
#include <locale.h>
#include <poll.h>
#include <string.h>

void hf_console_stamp(uint64_t when, char ret[HF_CONSOLE_STAMP_MAX])
{
        time_t seconds = (time_t)(when / 1000000);
        char day[24];
        struct tm tm;

        *ret = '\0';
        if (localtime_r(&seconds, &tm) && strftime(day, sizeof(day), "%Y-%m-%d %H:%M:%S", &tm))
                (void)snprintf(ret, HF_CONSOLE_STAMP_MAX, "%s.%03u ", day,
                               (unsigned int)(when / 1000 % 1000));
}

bool hf_console_speaks_utf8(int fd)
{
        locale_t locale;
        bool utf8;

        /* A file is read by whatever may come. */
        if (!isatty(fd))
                return true;
        locale = newlocale(LC_CTYPE_MASK, "", (locale_t)0);
        if (!locale)
                return false;
        utf8 = !strcmp(nl_langinfo_l(CODESET, locale), "UTF-8");
        freelocale(locale);
        return utf8;
}

void hf_console_output_init(struct hf_console_output *output, int fd, bool timestamps, bool plain)
{
        *output = (struct hf_console_output){
                .fd = fd, .timestamps = timestamps, .plain = plain, .fresh = true};
        hf_escape_filter_init(&output->filter, isatty(fd), hf_console_speaks_utf8(fd));
}

void hf_console_output_clear(struct hf_console_output *output)
{
        free(output->buffer);
        output->buffer = NULL;
        output->have = output->room = 0;
}

static int make_room(struct hf_console_output *output, size_t n)
{
        size_t room = 2 * (output->have + n);
        char *more;

        if (output->room - output->have >= n)
                return 0;
        more = realloc(output->buffer, room);
        if (!more)
                return -ENOMEM;
        output->buffer = more;
        output->room = room;
        return 0;
}

static int append(struct hf_console_output *output, const char *data, size_t n)
{
        int r = make_room(output, n);

        if (r < 0)
                return r;
        memcpy(output->buffer + output->have, data, n);
        output->have += n;
        return 0;
}

static int append_stamp(struct hf_console_output *output, const struct holdfast_console *console)
{
        uint64_t when = 0;
        char text[HF_CONSOLE_STAMP_MAX];

        if (output->position < holdfast_console_live(console))
                when = holdfast_console_time(console, output->position);
        if (when == 0)
                when = hf_clock_usec(CLOCK_REALTIME);
        hf_console_stamp(when, text);
        return append(output, text, strlen(text));
}

/* What the guest prints, as it may reach the reader. */
static int append_text(struct hf_console_output *output, const char *data, size_t n)
{
        int r;

        if (!output->plain)
                return append(output, data, n);
        r = make_room(output, HF_ESCAPE_FILTER_ROOM(n));
        if (r >= 0)
                output->have += hf_escape_filter(&output->filter, data, n,
                                                 output->buffer + output->have);
        return r;
}

int hf_console_output_add(struct hf_console_output *output, const struct holdfast_console *console,
                          const char *data, size_t n)
{
        while (n > 0) {
                const char *end = memchr(data, '\n', n);
                size_t len = end ? (size_t)(end - data) + 1 : n;
                int r = 0;

                if (output->fresh && output->timestamps)
                        r = append_stamp(output, console);
                if (r >= 0)
                        r = append_text(output, data, len);
                if (r < 0)
                        return r;
                output->fresh = end != NULL;
                output->position += len;
                data += len;
                n -= len;
        }
        return 0;
}

ssize_t hf_console_output_flush(struct hf_console_output *output)
{
        size_t at = 0;

        while (at < output->have) {
                struct pollfd poller = {.fd = output->fd, .events = POLLOUT};
                ssize_t n;

                /* What could not be opened anew may wait: little by little it does not. */
                if (poll(&poller, 1, 0) <= 0)
                        break;
                n = write(output->fd, output->buffer + at,
                          output->have - at < 4096 ? output->have - at : 4096);
                if (n < 0 && errno == EAGAIN)
                        break;
                if (n < 0 && errno != EINTR)
                        return -errno;
                if (n > 0)
                        at += (size_t)n;
        }
        output->have -= at;
        memmove(output->buffer, output->buffer + at, output->have);
        return (ssize_t)output->have;
}
