/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/wait.h"

#include "cli/holder.h"
#include "cli/launch.h"
#include "cli/message.h"

#include "base/cleanup.h"
#include "base/clock.h"

#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

/* Back to the first column, and nothing behind. */
#define CLEAR_LINE "\r\033[K"

/* Of a terminal that does not say. */
#define USUAL_WIDTH 80

int hf_wait_read(const char *argument, int *ret_ms, struct hf_error *err)
{
        double seconds;
        char *end;

        if (!argument) {
                *ret_ms = -1;
                return 0;
        }
        errno = 0;
        seconds = strtod(argument, &end);
        if (errno || end == argument || *end || !(seconds >= 0 && seconds <= HF_WAIT_MAX))
                return hf_error_set(err, EINVAL, HF_ERR_INVALID_ARG, HF_FROM_NONE,
                                    "--wait takes seconds from 0 to %d, not \"%.40s\"", HF_WAIT_MAX,
                                    argument);
        /* Rounded up, so that not even the shortest is none. */
        *ret_ms = (int)(seconds * 1000);
        *ret_ms += *ret_ms < seconds * 1000;
        return 0;
}

char *hf_wait_ordinal(unsigned int n, char text[static HF_ORDINAL_MAX])
{
        static const char *const ends[] = {"th", "st", "nd", "rd"};
        bool teen = n / 10 % 10 == 1;

        (void)snprintf(text, HF_ORDINAL_MAX, "%u%s", n, ends[teen || n % 10 > 3 ? 0 : n % 10]);
        return text;
}

/* Cuts a line to what the terminal has room for, where a character begins. */
static void fit(char *line)
{
        struct winsize size = {0};
        size_t width = USUAL_WIDTH, columns = 0;

        if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col)
                width = size.ws_col;
        for (char *c = line; *c; c++) {
                columns += (*c & 0xc0) != 0x80;
                /* The last column stays free: some terminals go on to the next line there. */
                if (columns < width)
                        continue;
                *c = '\0';
                return;
        }
}

static void rewrite(const char *text)
{
        char line[HF_MESSAGE_MAX + 16];

        (void)snprintf(line, sizeof(line), "holdfast: %s", text);
        fit(line);
        (void)fprintf(stderr, CLEAR_LINE "%s", line);
        (void)fflush(stderr);
}

static uint64_t now_ms(void)
{
        return (uint64_t)hf_clock_msec(CLOCK_MONOTONIC);
}

/* Who is in the way, in words; what the daemon says where it is nobody that has a name. */
static void describe(const struct holdfast_waiting *waiting, char text[static HF_WAIT_TEXT_MAX])
{
        const char *resource = hf_launch_short(waiting->resource);
        char holder[HF_HOLDER_TEXT_MAX];

        if (waiting->holder->pid || *waiting->holder->name)
                (void)snprintf(text, HF_WAIT_TEXT_MAX, "waiting for %.1000s, held by %s", resource,
                               hf_holder_text(waiting->holder, holder));
        else
                (void)snprintf(text, HF_WAIT_TEXT_MAX, "waiting for %.700s: %.700s", resource,
                               waiting->text);
        hf_message_clean(text);
}

void hf_wait_tell(void *ctx, const struct holdfast_waiting *waiting)
{
        char text[HF_WAIT_TEXT_MAX], line[HF_MESSAGE_MAX - 16], nth[HF_ORDINAL_MAX];
        struct hf_wait *wait = ctx;

        if (!wait->begun)
                wait->begun = now_ms();
        describe(waiting, text);
        if (waiting->position)
                (void)snprintf(line, sizeof(line), "%s; %s in line", text,
                               hf_wait_ordinal(waiting->position, nth));
        else
                (void)snprintf(line, sizeof(line), "%s", text);
        if (isatty(STDERR_FILENO)) {
                rewrite(line);
                wait->shown = true;
        } else if (strcmp(text, wait->last) != 0) {
                hf_message("%s", line);
        }
        (void)snprintf(wait->last, sizeof(wait->last), "%s", text);
}

double hf_wait_end(struct hf_wait *wait)
{
        double seconds = wait->begun ? (double)(now_ms() - wait->begun) / 1000 : 0;

        if (wait->shown) {
                (void)fputs(CLEAR_LINE, stderr);
                (void)fflush(stderr);
        }
        wait->shown = false;
        wait->begun = 0;
        return seconds;
}
