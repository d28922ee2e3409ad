/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sanlock/talk.h"

#include "base/clock.h"
#include "base/process.h"
#include "base/socket.h"

#include <poll.h>

const char *hf_sanlock_talk_begin(const struct hf_sanlock_note *note, enum hf_qmp_goal goal,
                                  struct hf_qmp_link *link)
{
        struct hf_peer peer;

        link->fd = -1;
        if (!note->monitor)
                return "it has no monitor";
        hf_qmp_connect(link, note->monitor, goal);
        if (link->fd < 0)
                return "its monitor cannot be reached";
        if (hf_socket_peer(link->fd, &peer, NULL) < 0 || peer.pid != note->pid) {
                hf_qmp_close(link);
                return "another process listens at its monitor's place";
        }
        return NULL;
}

bool hf_sanlock_talk_wait(int pidfd, int fd, int64_t end_ms)
{
        int64_t left = end_ms - hf_clock_msec(CLOCK_MONOTONIC);
        struct pollfd fds[] = {
                {.fd = pidfd, .events = POLLIN},
                {.fd = fd, .events = POLLIN},
        };

        if (left <= 0)
                return false;
        return poll(fds, HF_ARRAY_LEN(fds), (int)left) >= 0 || errno == EINTR;
}

enum hf_qmp_state hf_sanlock_talk(struct hf_qmp_link *link, int pidfd, int ms)
{
        int64_t end = hf_clock_msec(CLOCK_MONOTONIC) + ms;

        while (link->talk.state == HF_QMP_TALKING && hf_process_pidfd_is_dead(pidfd) == 0 &&
               hf_sanlock_talk_wait(pidfd, link->fd, end))
                hf_qmp_serve(link);
        return link->talk.state;
}
