/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "prhelper/wire.h"

#include "base/cleanup.h"
#include "base/clock.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

/*
 * Milliseconds that a peer has to take an answer. One answer fits into an empty socket, so only a
 * peer that sent requests without reading their answers is ever waited for.
 */
#define TAKE_MS 30000

/* Milliseconds that the rest of a request has when it is time to go. */
#define LEAVE_MS 1000

/* Room for one descriptor more than may be sent: that is enough to see that there are several. */
#define DESCRIPTORS 2

static uint64_t now_ms(void)
{
        return (uint64_t)hf_clock_msec(CLOCK_MONOTONIC);
}

/* Of so many milliseconds since `start`, those that are left, for poll. */
static int time_left(uint64_t start, uint64_t ms)
{
        uint64_t end = start + ms, at = now_ms();

        return end <= at ? 0 : end - at > INT_MAX ? INT_MAX : (int)(end - at);
}

/* What was sent in time is there, or about to be, when it is time to go. -1: no limit. */
static int limit(const struct hf_pr_wire *wire, bool begun)
{
        bool timed = begun && wire->timeout > 0;
        int left = timed ? time_left(wire->started, (uint64_t)wire->timeout * 1000) : -1;
        int leave = wire->leaving ? time_left(wire->left, LEAVE_MS) : -1;

        return left < 0 || (leave >= 0 && leave < left) ? leave : left;
}

/* Waits until more can be read. Returns 1, 0 where it is time to go, -ETIMEDOUT or -errno. */
static int await_bytes(struct hf_pr_wire *wire, bool begun)
{
        struct pollfd fds[] = {{.fd = wire->fd, .events = POLLIN},
                               {.fd = wire->leaving ? -1 : wire->control, .events = POLLIN}};
        int n;

        if (wire->leaving && !begun)
                return 0;
        n = poll(fds, HF_ARRAY_LEN(fds), limit(wire, begun));
        if (n < 0)
                return errno == EINTR ? 1 : -errno;
        if (n == 0)
                return wire->leaving ? 0 : -ETIMEDOUT;
        if (fds[1].revents) {
                wire->leaving = true;
                wire->left = now_ms();
        }
        return begun || fds[0].revents ? 1 : 0;
}

/* The descriptors of a message, as far as there is room; those beyond are closed by the kernel. */
static int take_descriptors(struct msghdr *message, int *fd)
{
        int r = message->msg_flags & MSG_CTRUNC ? -EBADMSG : 0;

        for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
                size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

                if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
                        continue;
                for (size_t i = 0; i < n; i++) {
                        hf_cleanup_fd int one = -1;

                        memcpy(&one, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
                        if (*fd >= 0)
                                r = -EBADMSG;
                        else
                                *fd = hf_steal_fd(&one);
                }
        }
        return r;
}

/* One piece of a request. Returns how many bytes, 0 at the end, or -errno. */
static ssize_t receive(struct hf_pr_wire *wire, void *data, size_t n, int *fd)
{
        union {
                char bytes[CMSG_SPACE(DESCRIPTORS * sizeof(int))];
                struct cmsghdr align;
        } control;
        struct iovec piece = {.iov_base = data, .iov_len = n};
        struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1};
        ssize_t got;
        int r;

        if (fd) {
                message.msg_control = control.bytes;
                message.msg_controllen = sizeof(control.bytes);
        }
        got = recvmsg(wire->fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
        if (got < 0)
                return -errno;
        r = fd ? take_descriptors(&message, fd) : 0;
        return r < 0 ? r : got;
}

/* Waits first, or not where the rest of something is likely to be there already. */
static int read_all(struct hf_pr_wire *wire, uint8_t *data, size_t n, int *fd, bool wait)
{
        size_t done = 0;

        while (done < n) {
                ssize_t got;

                if (wait) {
                        int r = await_bytes(wire, !fd || done > 0);

                        if (r <= 0)
                                return r;
                }
                got = receive(wire, data + done, n - done, fd);
                wait = got < 0;
                if (got == 0 || got == -ECONNRESET)
                        return 0;
                if (got < 0 && got != -EAGAIN && got != -EINTR)
                        return (int)got;
                if (got > 0 && fd && done == 0)
                        wire->started = now_ms();
                done += got > 0 ? (size_t)got : 0;
        }
        return 1;
}

int hf_pr_wire_read(struct hf_pr_wire *wire, void *data, size_t n)
{
        return read_all(wire, data, n, NULL, false);
}

int hf_pr_wire_read_cdb(struct hf_pr_wire *wire, uint8_t cdb[static HF_PR_CDB_SIZE], int *ret_fd)
{
        hf_cleanup_fd int fd = -1;
        int r = read_all(wire, cdb, HF_PR_CDB_SIZE, &fd, true);

        if (r <= 0)
                return r;
        if (fd < 0)
                return -EBADMSG;
        *ret_fd = hf_steal_fd(&fd);
        return 1;
}

/* The first n bytes of the pieces are done with. */
static void advance(struct iovec *pieces, size_t count, size_t n)
{
        for (size_t i = 0; i < count; i++) {
                size_t part = n < pieces[i].iov_len ? n : pieces[i].iov_len;

                pieces[i].iov_base = (uint8_t *)pieces[i].iov_base + part;
                pieces[i].iov_len -= part;
                n -= part;
        }
}

int hf_pr_wire_write(struct hf_pr_wire *wire, const void *head, size_t head_size, const void *tail,
                     size_t tail_size)
{
        struct iovec pieces[] = {{.iov_base = (void *)(uintptr_t)head, .iov_len = head_size},
                                 {.iov_base = (void *)(uintptr_t)tail, .iov_len = tail_size}};
        struct msghdr message = {.msg_iov = pieces, .msg_iovlen = HF_ARRAY_LEN(pieces)};
        struct pollfd writable = {.fd = wire->fd, .events = POLLOUT};
        uint64_t start = now_ms();

        while (pieces[0].iov_len + pieces[1].iov_len > 0) {
                ssize_t n = sendmsg(wire->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);

                if (n >= 0) {
                        advance(pieces, HF_ARRAY_LEN(pieces), (size_t)n);
                        continue;
                }
                if (errno == EPIPE || errno == ECONNRESET)
                        return 0;
                if (errno != EAGAIN && errno != EINTR)
                        return -errno;
                if (poll(&writable, 1, time_left(start, TAKE_MS)) == 0)
                        return -ETIMEDOUT;
        }
        return 1;
}
