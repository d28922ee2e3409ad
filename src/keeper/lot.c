/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "keeper/lot.h"

#include "base/cleanup.h"
#include "base/socket.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

/*
 * What may be in flight in one lot, in the kernel's count, which is about 1 KiB
 * for each descriptor; the largest value that a socket takes.
 */
#define ROOM (1 << 29)

/* One descriptor per message, so that each has its own cookie. */
union control {
        struct cmsghdr header;
        char space[CMSG_SPACE(sizeof(int))];
};

/* Without CAP_NET_ADMIN it is what the system allows everybody: some hundred descriptors. */
static void make_room(int in)
{
        const int room = ROOM;

        if (setsockopt(in, SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof(room)) < 0)
                (void)setsockopt(in, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
}

int hf_lot_make(int *ret_in, int *ret_out)
{
        int ends[2];

        /* Datagrams would be limited in number. */
        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
                return -errno;
        make_room(ends[0]);
        *ret_in = ends[0];
        *ret_out = ends[1];
        return 0;
}

int hf_lot_park(int in, int fd, const void *cookie, size_t len)
{
        int r;

        if (len < 1 || len > HF_LOT_COOKIE_MAX)
                return -EINVAL;
        r = hf_socket_send_fd(in, cookie, len, fd, MSG_DONTWAIT | MSG_NOSIGNAL);
        return r == -ECONNREFUSED || r == -ECONNRESET || r == -ENOTCONN ? -EPIPE : r;
}

/* A descriptor for the first one in the lot, which stays in it. Returns 1, or 0: it is empty. */
static int peek(int out, char *cookie, size_t *ret_len, int *ret_fd)
{
        union control control = {0};
        struct iovec part = {cookie, HF_LOT_COOKIE_MAX};
        struct msghdr message = {.msg_iov = &part,
                                 .msg_iovlen = 1,
                                 .msg_control = &control,
                                 .msg_controllen = sizeof(control.space)};
        const struct cmsghdr *header;
        ssize_t len = recvmsg(out, &message, MSG_PEEK | MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

        if (len < 0)
                return errno == EAGAIN ? 0 : -errno;
        if (len == 0)
                return 0;
        header = CMSG_FIRSTHDR(&message);
        if (!header || header->cmsg_type != SCM_RIGHTS || header->cmsg_len != CMSG_LEN(sizeof(int)))
                /* It has one, so there was no room for it here. */
                return message.msg_flags & MSG_CTRUNC ? -EMFILE : -EBADMSG;
        memcpy(ret_fd, CMSG_DATA(header), sizeof(*ret_fd));
        *ret_len = (size_t)len;
        return 1;
}

static void drop_first(int out)
{
        char byte;

        (void)recv(out, &byte, sizeof(byte), MSG_DONTWAIT);
}

int hf_lot_drain(int out, int to, hf_lot_each_fn each, void *data)
{
        char cookie[HF_LOT_COOKIE_MAX];
        size_t len = 0;
        int fd = -1, parked, r;

        while ((r = peek(out, cookie, &len, &fd)) > 0) {
                parked = to >= 0 ? hf_lot_park(to, fd, cookie, len) : -ENOENT;
                drop_first(out);
                each(data, fd, cookie, len, parked);
        }
        return r;
}
