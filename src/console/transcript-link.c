/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The server's side of the logs: each console's bytes are offered as they come. */
#include "console/program.h"

#include "base/clock.h"

#include <errno.h>
#include <string.h>

static bool is_logged(const struct hf_console *console)
{
        return *console->server->log_dir && console->since;
}

static void name_of(const struct hf_console *console, bool by_path,
                    char ret[HF_TRANSCRIPT_NAME_MAX])
{
        if (*console->vm && !by_path)
                hf_transcript_name(console->vm, console->device, ret);
        else
                hf_transcript_name("", console->path, ret);
}

/* An earlier one that is called so, and is not in its log as a whole. */
static const struct hf_console *namesake(const struct hf_console *console)
{
        const struct hf_console *other;
        uint32_t i = 0;

        while ((other = hf_con_server_next(console->server, &i)))
                if (other->id < console->id && is_logged(other) &&
                    !strcmp(other->vm, console->vm) &&
                    !strcmp(*other->vm ? other->device : other->path,
                            *console->vm ? console->device : console->path) &&
                    (other->state != HF_CONSOLE_ENDED || !hf_con_transcript_has_all(other)))
                        return other;
        return NULL;
}

/*
 * Two have one log only one after the other: a VM that begins again waits with its own until the
 * rest of the last one is written, and of two that run and are called the same the later one's is
 * called as its path is.
 */
static int offer(struct hf_console *console, int fd)
{
        const struct hf_console *other = console->log.asked ? NULL : namesake(console);
        char name[HF_TRANSCRIPT_NAME_MAX];
        uint64_t now = hf_clock_usec(CLOCK_REALTIME);
        int r;

        if (other && other->state == HF_CONSOLE_ENDED)
                return 0;
        name_of(console, other != NULL, name);
        do
                r = hf_transcript_offer(&console->log, fd, name, &console->ring, console->bytes,
                                        now);
        while (r == 1);
        if (r == 0 && console->state == HF_CONSOLE_ENDED) {
                r = hf_transcript_finish(&console->log, fd, name, &console->ring, console->bytes,
                                         now);
                if (r == 1) {
                        console->logged = true;
                        hf_con_server_retry(console->server);
                }
        }
        return r;
}

int hf_con_transcript_write(struct hf_con_server *server, int fd)
{
        struct hf_console *console;
        uint32_t i = 0;

        while ((console = hf_con_server_next(server, &i))) {
                int r;

                if (!is_logged(console) || console->logged)
                        continue;
                r = offer(console, fd);
                if (r < 0)
                        return r;
                /* Somebody may have waited for that. */
                if (console->logged)
                        i = 0;
        }
        return 0;
}

int hf_con_transcript_read(struct hf_con_server *server, int fd)
{
        struct hf_transcript_answer answer;
        int r;

        while ((r = hf_transcript_receive(fd, &answer)) > 0) {
                struct hf_console *console = hf_console_by_id(server, answer.id);

                if (console)
                        hf_transcript_heard(&console->log, &answer);
        }
        return r;
}

void hf_con_transcript_begins(struct hf_con_server *server, bool anew)
{
        struct hf_console *console;
        uint32_t i = 0;

        (void)anew;
        while ((console = hf_con_server_next(server, &i)))
                hf_transcript_begin(&console->log);
}

bool hf_con_transcript_has_all(const struct hf_console *console)
{
        return !is_logged(console) || console->logged ||
               hf_transcript_fails(&console->log, hf_clock_usec(CLOCK_REALTIME)) < 0;
}
