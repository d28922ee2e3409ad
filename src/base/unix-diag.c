/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/unix-diag.h"

#include "base/cleanup.h"

#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/sysmacros.h>

/* The kernel fills a message up to 32 kB and goes on in the next one. */
#define MESSAGE_MAX (64 * 1024)

struct search {
        const struct stat *st;
        hf_unix_socket_fn fn;
        void *data;
};

static int ask(int netlink)
{
        struct {
                struct nlmsghdr header;
                struct unix_diag_req request;
        } message = {
                .header = {.nlmsg_len = sizeof(message),
                           .nlmsg_type = SOCK_DIAG_BY_FAMILY,
                           .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
                .request = {.sdiag_family = AF_UNIX,
                            .udiag_states = UINT32_MAX,
                            .udiag_show = UDIAG_SHOW_VFS | UDIAG_SHOW_PEER | UDIAG_SHOW_RQLEN},
        };

        return send(netlink, &message, sizeof(message), 0) < 0 ? -errno : 0;
}

/* The kernel's own form of a device: 20 bits for the minor number; and the lower half of the
 * inode's number. */
static bool is_of(const struct unix_diag_vfs *vfs, const struct stat *st)
{
        return vfs->udiag_vfs_ino == (uint32_t)st->st_ino &&
               vfs->udiag_vfs_dev == (major(st->st_dev) << 20 | minor(st->st_dev));
}

static int read_one(const struct search *search, const struct nlmsghdr *header)
{
        const struct unix_diag_msg *one = NLMSG_DATA(header);
        /* UNIX sockets have the states of TCP. */
        struct hf_unix_socket socket = {.inode = one->udiag_ino,
                                        .listens = one->udiag_state == TCP_LISTEN,
                                        .connected = one->udiag_state == TCP_ESTABLISHED};
        int left = (int)(header->nlmsg_len - NLMSG_LENGTH(sizeof(*one)));
        bool leads = false;

        for (const struct rtattr *attr = (const void *)(one + 1); RTA_OK(attr, left);
             attr = RTA_NEXT(attr, left)) {
                const void *data = RTA_DATA(attr);

                if (attr->rta_type == UNIX_DIAG_VFS)
                        leads = is_of(data, search->st);
                else if (attr->rta_type == UNIX_DIAG_PEER)
                        socket.peer = *(const uint32_t *)data;
                else if (attr->rta_type == UNIX_DIAG_RQLEN && socket.listens)
                        socket.waiting = ((const struct unix_diag_rqlen *)data)->udiag_rqueue;
        }
        return leads ? search->fn(search->data, &socket) : 0;
}

/* Returns 1 when that was the last message. */
static int read_message(const struct search *search, const void *message, size_t size)
{
        for (const struct nlmsghdr *header = message; NLMSG_OK(header, size);
             header = NLMSG_NEXT(header, size)) {
                const struct nlmsgerr *failed = NLMSG_DATA(header);
                int r = 0;

                if (header->nlmsg_type == NLMSG_DONE)
                        return 1;
                if (header->nlmsg_type == NLMSG_ERROR)
                        return failed->error ? failed->error : -EIO;
                if (header->nlmsg_type == SOCK_DIAG_BY_FAMILY &&
                    header->nlmsg_len >= NLMSG_LENGTH(sizeof(struct unix_diag_msg)))
                        r = read_one(search, header);
                if (r < 0)
                        return r;
        }
        return 0;
}

int hf_unix_sockets_of(const struct stat *st, hf_unix_socket_fn fn, void *data)
{
        hf_cleanup_fd int netlink = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
        hf_cleanup_free void *message = malloc(MESSAGE_MAX);
        struct search search = {.st = st, .fn = fn, .data = data};
        int r;

        if (netlink < 0)
                return -errno;
        if (!message)
                return -ENOMEM;
        r = ask(netlink);
        while (r == 0) {
                ssize_t n = recv(netlink, message, MESSAGE_MAX, 0);

                if (n < 0 && errno == EINTR)
                        continue;
                r = n < 0 ? -errno : read_message(&search, message, (size_t)n);
        }
        return r < 0 ? r : 0;
}
