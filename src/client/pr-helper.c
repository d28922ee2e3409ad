/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "client/pr.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/socket.h"
#include "scsi/helper.h"

#include <limits.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

/*
 * The talk with a helper: frames of fixed length on a stream, one command at a time, with one
 * deadline for all of it. The helper is believed in nothing: what does not fit ends the
 * connection.
 */

/* A helper greets at once; one that does not has another problem than a slow disk. */
#define GREETING_TIMEOUT_MS 10000

static uint64_t deadline_in(int timeout_ms)
{
        return timeout_ms < 0 ? UINT64_MAX
                              : (uint64_t)hf_clock_msec(CLOCK_MONOTONIC) + (uint64_t)timeout_ms;
}

/* 0 when fd is ready for events, or -ETIMEDOUT. */
static int wait_for(int fd, short events, uint64_t deadline)
{
        struct pollfd poller = {.fd = fd, .events = events};

        for (;;) {
                uint64_t now = (uint64_t)hf_clock_msec(CLOCK_MONOTONIC),
                         left = deadline > now ? deadline - now : 0;
                int n = poll(&poller, 1,
                             deadline == UINT64_MAX ? -1 : (int)(left < INT_MAX ? left : INT_MAX));

                if (n > 0)
                        return 0;
                if (n < 0 && errno != EINTR)
                        return -errno;
                if (n == 0 && left == 0)
                        return -ETIMEDOUT;
        }
}

/* All of n bytes; -ECONNRESET at the end of the stream. */
static int receive(int fd, void *data, size_t n, uint64_t deadline)
{
        for (size_t done = 0; done < n;) {
                int r = wait_for(fd, POLLIN, deadline);
                ssize_t got;

                if (r < 0)
                        return r;
                got = recv(fd, (char *)data + done, n - done, MSG_DONTWAIT);
                if (got == 0)
                        return -ECONNRESET;
                if (got < 0 && errno != EINTR && errno != EAGAIN)
                        return -errno;
                done += got > 0 ? (size_t)got : 0;
        }
        return 0;
}

/* All of n bytes; the descriptor cargo (or -1) goes with the first of them. */
static int transmit(int fd, const void *data, size_t n, int cargo, uint64_t deadline)
{
        union {
                struct cmsghdr header;
                char room[CMSG_SPACE(sizeof(int))];
        } control = {0};

        for (size_t done = 0; done < n;) {
                struct iovec part = {(char *)(uintptr_t)data + done, n - done};
                struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
                int r = wait_for(fd, POLLOUT, deadline);
                ssize_t put;

                if (r < 0)
                        return r;
                if (cargo >= 0 && done == 0) {
                        message.msg_control = &control;
                        message.msg_controllen = sizeof(control);
                        control.header = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof(int)),
                                                          .cmsg_level = SOL_SOCKET,
                                                          .cmsg_type = SCM_RIGHTS};
                        memcpy(CMSG_DATA(&control.header), &cargo, sizeof(cargo));
                }
                put = sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
                if (put < 0 && errno != EINTR && errno != EAGAIN)
                        return -errno;
                done += put > 0 ? (size_t)put : 0;
        }
        return 0;
}

/* Closes the connection and says why. */
static int fail(struct holdfast_pr *pr, int r, const char *what, struct holdfast_error *err)
{
        hf_close_fd(&pr->fd);
        switch (-r) {
        case ETIMEDOUT:
                return hf_fail(err, ETIMEDOUT, HOLDFAST_E_TIMEOUT,
                               "the helper at %s did not %s in time", pr->socket, what);
        case ECONNRESET:
        case EPIPE:
                return hf_fail(err, ECONNRESET, HOLDFAST_E_PROTOCOL,
                               "the helper at %s closed the connection where it was to %s",
                               pr->socket, what);
        case EBADMSG:
                return hf_fail(err, EBADMSG, HOLDFAST_E_PROTOCOL,
                               "the helper at %s did not %s, but sent what nobody can understand",
                               pr->socket, what);
        default:
                return hf_fail(err, -r, HOLDFAST_E_SYSTEM, "the helper at %s did not %s: %s",
                               pr->socket, what, strerror(-r));
        }
}

/* Features are offered and chosen; there are none that we would want. */
static int greet(struct holdfast_pr *pr, struct holdfast_error *err)
{
        static const uint8_t none[HF_HELPER_FEATURES_SIZE];
        uint64_t deadline = deadline_in(GREETING_TIMEOUT_MS);
        uint8_t offered[HF_HELPER_FEATURES_SIZE];
        int r = receive(pr->fd, offered, sizeof(offered), deadline);

        if (r >= 0)
                r = transmit(pr->fd, none, sizeof(none), -1, deadline);
        return r < 0 ? fail(pr, r, "greet", err) : 0;
}

/* Between two commands nothing may come: what is there is an end, or no helper. */
static bool is_over(int fd)
{
        struct pollfd poller = {.fd = fd, .events = POLLIN};

        return poll(&poller, 1, 0) != 0;
}

int hf_pr_helper_connect(struct holdfast_pr *pr, struct holdfast_error *err)
{
        struct hf_error error = {0};
        int r;

        if (pr->fd >= 0 && !is_over(pr->fd))
                return 0;
        hf_close_fd(&pr->fd);
        r = hf_socket_connect(pr->socket, GREETING_TIMEOUT_MS, &pr->fd, &error);
        if (r == -ENOENT || r == -ECONNREFUSED)
                return hf_fail(err, -r, HOLDFAST_E_NO_DAEMON,
                               "no helper for persistent reservations answers at %s", pr->socket);
        return r < 0 ? hf_fail_from(err, r, &error) : greet(pr, err);
}

int hf_pr_helper_command(struct holdfast_pr *pr, int fd, const uint8_t cdb[static HF_PR_CDB_SIZE],
                         void *data, struct hf_scsi_result *ret, struct holdfast_error *err)
{
        uint64_t deadline = deadline_in(pr->timeout_ms);
        bool out = cdb[0] == HF_PR_OUT;
        uint8_t frame[HF_HELPER_ANSWER_SIZE];
        int r = transmit(pr->fd, cdb, HF_PR_CDB_SIZE, fd, deadline);

        if (r >= 0 && out)
                r = transmit(pr->fd, data, hf_pr_length(cdb), -1, deadline);
        if (r >= 0)
                r = receive(pr->fd, frame, sizeof(frame), deadline);
        if (r >= 0)
                r = hf_helper_answer_decode(frame, out ? 0 : hf_pr_length(cdb), ret);
        if (r >= 0 && ret->size)
                r = receive(pr->fd, data, ret->size, deadline);
        return r < 0 ? fail(pr, r, "answer the command", err) : 0;
}
