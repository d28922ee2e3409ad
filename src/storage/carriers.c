/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Which processes have the other end of a UNIX socket open. The kernel tells
 * the inode of a socket's peer over netlink (sock_diag(7)); /proc tells who has
 * that inode among its descriptors.
 */
#include "storage/users.h"

#include "base/cleanup.h"

#include <errno.h>
#include <limits.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <string.h>
#include <sys/socket.h>

static int ask_kernel(int netlink, uint64_t inode)
{
        struct {
                struct nlmsghdr header;
                struct unix_diag_req request;
        } message = {
                .header = {.nlmsg_len = sizeof(message),
                           .nlmsg_type = SOCK_DIAG_BY_FAMILY,
                           .nlmsg_flags = NLM_F_REQUEST},
                .request = {.sdiag_family = AF_UNIX,
                            .udiag_states = UINT32_MAX,
                            .udiag_ino = (uint32_t)inode,
                            .udiag_show = UDIAG_SHOW_PEER,
                            .udiag_cookie = {UINT32_MAX, UINT32_MAX}},
        };

        return send(netlink, &message, sizeof(message), 0) < 0 ? -errno : 0;
}

/* The inode of the peer, or 0. */
static uint64_t peer_of(int netlink, uint64_t inode)
{
        _Alignas(struct nlmsghdr) char buf[4096];
        const struct nlmsghdr *header = (const void *)buf;
        const struct unix_diag_msg *reply;
        int left;
        ssize_t len;

        if (ask_kernel(netlink, inode) < 0)
                return 0;
        len = recv(netlink, buf, sizeof(buf), 0);
        if (len < 0 || !NLMSG_OK(header, (size_t)len) || header->nlmsg_type != SOCK_DIAG_BY_FAMILY)
                return 0;
        reply = NLMSG_DATA(header);
        left = (int)(header->nlmsg_len - NLMSG_LENGTH(sizeof(*reply)));
        for (const struct rtattr *attr = (const void *)(reply + 1); RTA_OK(attr, left);
             attr = RTA_NEXT(attr, left))
                if (attr->rta_type == UNIX_DIAG_PEER)
                        return *(const uint32_t *)RTA_DATA(attr);
        return 0;
}

static bool has_socket(pid_t pid, const uint64_t *peers, size_t n)
{
        hf_cleanup_dir DIR *dir = NULL;
        struct dirent *entry;
        char path[64], target[64];
        unsigned long long inode;

        (void)snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
        dir = opendir(path);
        while (dir && (entry = readdir(dir))) {
                ssize_t len = readlinkat(dirfd(dir), entry->d_name, target, sizeof(target) - 1);

                if (len <= 0)
                        continue;
                target[len] = '\0';
                if (sscanf(target, "socket:[%llu]", &inode) != 1)
                        continue;
                for (size_t i = 0; i < n; i++)
                        if (peers[i] == inode)
                                return true;
        }
        return false;
}

static int find_processes(const uint64_t *peers, size_t n, pid_t *pids, size_t max)
{
        hf_cleanup_dir DIR *proc = opendir("/proc");
        struct dirent *entry;
        size_t found = 0;

        if (!proc)
                return -errno;
        while (found < max && (entry = readdir(proc))) {
                pid_t pid = (pid_t)atoi(entry->d_name);

                if (pid > 0 && has_socket(pid, peers, n))
                        pids[found++] = pid;
        }
        return (int)found;
}

int hf_socket_carriers(const uint64_t *inodes, size_t n, pid_t *pids, size_t max)
{
        hf_cleanup_fd int netlink = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
        uint64_t peers[64];
        size_t known = 0;

        if (netlink < 0)
                return -errno;
        for (size_t i = 0; i < n && known < HF_ARRAY_LEN(peers); i++) {
                uint64_t peer = peer_of(netlink, inodes[i]);

                if (peer)
                        peers[known++] = peer;
        }
        return known ? find_processes(peers, known, pids, max) : 0;
}
