/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* "talk-qmp stop|cont PATH MILLISECONDS": talks to a monitor as a worker of the daemon does. */
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

int main(int argc, char **argv)
{
        static const char *const names[] = {
                [HF_QMP_TALKING] = "talking", [HF_QMP_DONE] = "done",
                [HF_QMP_ALREADY] = "already", [HF_QMP_OTHER] = "other",
                [HF_QMP_FAILED] = "failed",
        };
        static struct hf_qmp_link link;
        long end;

        if (argc != 4)
                return EXIT_FAILURE;
        end = now_ms() + atol(argv[3]);
        hf_qmp_connect(&link, argv[2], strcmp(argv[1], "stop") ? HF_QMP_CONT : HF_QMP_STOP);
        while (link.talk.state == HF_QMP_TALKING && now_ms() < end) {
                struct pollfd fd = {.fd = link.fd, .events = POLLIN};

                (void)poll(&fd, 1, (int)(end - now_ms()) + 1);
                hf_qmp_serve(&link);
        }
        (void)printf("%s%s\n", names[link.talk.state], link.talk.commanded ? " commanded" : "");
        hf_qmp_close(&link);
        return EXIT_SUCCESS;
}
