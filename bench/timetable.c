/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "timetable.h"

#include "wire.h"

#include <poll.h>
#include <time.h>

#define INTERVAL_NS 1000000u

bool has_ended(int pidfd)
{
        struct pollfd poll_fd = {.fd = pidfd, .events = POLLIN};

        return poll(&poll_fd, 1, 0) == 1;
}

static void wait_until(uint64_t when)
{
        struct timespec ts = {.tv_sec = (time_t)(when / 1000000000u),
                              .tv_nsec = (long)(when % 1000000000u)};

        while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL) != 0)
                ;
}

uint64_t call_on_time(int fd, struct disks *disks, uint64_t end, int pidfd, struct samples *samples)
{
        uint64_t due = now_ns();

        for (size_t i = 0;; i++) {
                struct call **calls = i % 2 ? disks->release : disks->acquire;
                uint64_t start = now_ns();

                if (pidfd >= 0 && start < end && has_ended(pidfd))
                        end = start;
                if (i % 2 == 0 && due > end)
                        return end;
                if (start < due) {
                        wait_until(due);
                        start = now_ns();
                } else {
                        start = due;
                }
                wire_call(fd, calls[1 + i / 2 % (disks->count - 1)], "call of the other client");
                samples_add(samples, now_ns() - start);
                due += INTERVAL_NS;
        }
}
