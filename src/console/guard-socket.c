/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "console/guard-private.h"

#include "base/cleanup.h"

#include <fcntl.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/sysmacros.h>
#include <sys/un.h>

/*
 * A chardev that listens on a UNIX socket serves one client, and lets further ones wait
 * without a word. So the kernel is asked first whether somebody is connected to it: it knows of
 * each socket the file that it is bound to, and an accepted one has the listener's.
 */

#define ANSWER_SIZE 32768

/* Of a chain of links that somebody made a circle of. */
#define ATTRIBUTES_MAX 64

static bool ask(int fd)
{
        struct {
                struct nlmsghdr header;
                struct unix_diag_req request;
        } message = {
                .header = {.nlmsg_len = sizeof(message),
                           .nlmsg_type = SOCK_DIAG_BY_FAMILY,
                           .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
                .request = {.sdiag_family = AF_UNIX,
                            .udiag_states = 1U << TCP_ESTABLISHED,
                            .udiag_show = UDIAG_SHOW_VFS},
        };

        return send(fd, &message, sizeof(message), 0) == (ssize_t)sizeof(message);
}

static bool is_bound_to(const struct nlmsghdr *header, const struct stat *st)
{
        const struct unix_diag_msg *message = NLMSG_DATA(header);
        const char *at = (const char *)(message + 1);
        size_t left = header->nlmsg_len - NLMSG_LENGTH(sizeof(*message));
        struct unix_diag_vfs vfs;
        struct nlattr attr;

        for (int i = 0; i < ATTRIBUTES_MAX && left >= sizeof(attr); i++) {
                size_t step;

                memcpy(&attr, at, sizeof(attr));
                if (attr.nla_len < sizeof(attr) || attr.nla_len > left)
                        return false;
                if (attr.nla_type == UNIX_DIAG_VFS && attr.nla_len >= NLA_HDRLEN + sizeof(vfs)) {
                        memcpy(&vfs, at + NLA_HDRLEN, sizeof(vfs));
                        /* The kernel's own form of a device: 20 bits for the minor number; and the
                         * lower half of the inode's number. */
                        return vfs.udiag_vfs_ino == (uint32_t)st->st_ino &&
                               vfs.udiag_vfs_dev == (gnu_dev_major(st->st_dev) << 20 |
                                                     gnu_dev_minor(st->st_dev));
                }
                step = NLA_ALIGN(attr.nla_len);
                if (step > left)
                        return false;
                at += step;
                left -= step;
        }
        return false;
}

/* How many are connected to the socket of this file; 0 where the kernel does not tell. */
static unsigned int count_connections(const struct stat *st)
{
        hf_cleanup_fd int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
        hf_cleanup_free char *answer = malloc(ANSWER_SIZE);
        unsigned int n = 0;

        if (fd < 0 || !answer || !ask(fd))
                return 0;
        for (;;) {
                ssize_t got = recv(fd, answer, ANSWER_SIZE, 0);
                int left = (int)got;

                if (got <= 0)
                        return n;
                for (struct nlmsghdr *h = (void *)answer;
                     left > 0 && NLMSG_OK(h, (unsigned int)left); h = NLMSG_NEXT(h, left)) {
                        if (h->nlmsg_type == NLMSG_DONE || h->nlmsg_type == NLMSG_ERROR)
                                return n;
                        if (h->nlmsg_len >= NLMSG_LENGTH(sizeof(struct unix_diag_msg)))
                                n += is_bound_to(h, st);
                }
        }
}

void hf_job_take_socket(struct hf_job *job, int path_fd, const struct stat *st)
{
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        struct hf_hold *hold = &job->reply.hold;

        if (count_connections(st) > 0) {
                hf_job_intruder(job, &(struct hf_opener){0}, "is connected to it");
                hf_job_fail(job, -EBUSY, "%s is in use: another program is connected to it",
                            hold->path);
                return;
        }
        (void)snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d", path_fd);
        job->device = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (job->device < 0 ||
            connect(job->device, (struct sockaddr *)&address, sizeof(address)) < 0) {
                hf_job_fail(job, -errno, "cannot connect to %s: %s", hold->path, strerror(errno));
                return;
        }
        /* Only now: a full queue is waited for, and the guard's deadline ends that. */
        (void)fcntl(job->device, F_SETFL, O_NONBLOCK);
        if (!hf_job_stage(job))
                hf_job_fail(job, -ECANCELED, "the guard does not want it any more");
}
