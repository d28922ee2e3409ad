/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "console/guard-private.h"

#include "base/cleanup.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

/* Records with a descriptor beside them, between server, guard, jobs and second. */

union control {
        struct cmsghdr header;
        char room[CMSG_SPACE(sizeof(int))];
};

int hf_guard_send_record(int fd, const void *record, size_t size, int device_fd, int flags)
{
        union control control = {0};
        struct iovec iov = {(void *)(uintptr_t)record, size};
        struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};

        if (device_fd >= 0) {
                message.msg_control = &control;
                message.msg_controllen = sizeof(control.room);
                control.header.cmsg_level = SOL_SOCKET;
                control.header.cmsg_type = SCM_RIGHTS;
                control.header.cmsg_len = CMSG_LEN(sizeof(int));
                memcpy(CMSG_DATA(&control.header), &device_fd, sizeof(int));
        }
        while (sendmsg(fd, &message, flags | MSG_NOSIGNAL) < 0)
                if (errno != EINTR)
                        return -errno;
        return 0;
}

static int take_descriptor(struct msghdr *message)
{
        int fd = -1;

        for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c))
                if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS &&
                    c->cmsg_len >= CMSG_LEN(sizeof(int)))
                        memcpy(&fd, CMSG_DATA(c), sizeof(int));
        return fd;
}

ssize_t hf_guard_receive_record(int fd, void *record, size_t size, int *ret_fd, int flags)
{
        union control control = {0};
        struct iovec iov = {record, size};
        struct msghdr message = {.msg_iov = &iov,
                                 .msg_iovlen = 1,
                                 .msg_control = &control,
                                 .msg_controllen = sizeof(control.room)};
        ssize_t n;

        do
                n = recvmsg(fd, &message, flags | MSG_CMSG_CLOEXEC);
        while (n < 0 && errno == EINTR);
        if (n < 0)
                return -errno;
        *ret_fd = take_descriptor(&message);
        return n;
}

int hf_guard_send(int fd, const struct hf_guard_request *request, int device_fd)
{
        return hf_guard_send_record(fd, request, sizeof(*request), device_fd, MSG_DONTWAIT);
}

int hf_guard_receive(int fd, struct hf_guard_reply *ret, int *ret_fd)
{
        hf_cleanup_fd int device_fd = -1;
        ssize_t n = hf_guard_receive_record(fd, ret, sizeof(*ret), &device_fd, MSG_DONTWAIT);

        if (n < 0)
                return n == -EAGAIN ? 0 : n == -ECONNRESET ? -EPIPE : (int)n;
        if (n == 0)
                return -EPIPE;
        if (n != sizeof(*ret) || ret->version != HF_GUARD_VERSION ||
            ret->n_intruders > HF_INTRUDERS_MAX)
                return -EBADMSG;
        *ret_fd = hf_steal_fd(&device_fd);
        return 1;
}
