/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * "talk-qmp stop|cont|chardevs|break:LABEL PATH MILLISECONDS": talks to a monitor as a worker of
 * the daemon does.
 */
#include "vm/qmp.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static long now_ms(void)
{
        struct timespec now;

        (void)clock_gettime(CLOCK_MONOTONIC, &now);
        return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static struct hf_qmp_link link;
static struct hf_qmp_chardevs chardevs;

static void begin(const char *goal, const char *path)
{
        if (!strcmp(goal, "chardevs"))
                hf_qmp_connect_chardevs(&link, path, &chardevs);
        else if (!strncmp(goal, "break:", 6))
                hf_qmp_connect_break(&link, path, goal + 6);
        else
                hf_qmp_connect(&link, path, strcmp(goal, "stop") ? HF_QMP_CONT : HF_QMP_STOP);
}

int main(int argc, char **argv)
{
        static const char *const names[] = {
                [HF_QMP_TALKING] = "talking", [HF_QMP_DONE] = "done",
                [HF_QMP_ALREADY] = "already", [HF_QMP_OTHER] = "other",
                [HF_QMP_FAILED] = "failed",
        };
        long end;

        if (argc != 4)
                return EXIT_FAILURE;
        end = now_ms() + atol(argv[3]);
        begin(argv[1], argv[2]);
        while (link.talk.state == HF_QMP_TALKING && now_ms() < end) {
                struct pollfd fd = {.fd = link.fd, .events = POLLIN};

                (void)poll(&fd, 1, (int)(end - now_ms()) + 1);
                hf_qmp_serve(&link);
        }
        (void)printf("%s%s\n", names[link.talk.state], link.talk.commanded ? " commanded" : "");
        for (size_t i = 0; i < chardevs.n; i++) {
                const char *pty = hf_qmp_chardev_pty(&chardevs.list[i]);

                (void)printf("%s %s\n", chardevs.list[i].label, pty ? pty : "none");
        }
        hf_qmp_close(&link);
        return EXIT_SUCCESS;
}
