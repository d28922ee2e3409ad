/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Which sockets of this host lead to a socket file, and who has them: from the kernel (sock_diag(7)
 * and /proc), without connecting to anybody. A socket that was accepted counts as bound to the
 * file that its listener is bound to.
 */
#include "cli/adopt.h"

#include "base/cleanup.h"

#include <fcntl.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/sysmacros.h>

/* The kernel fills a message up to 32 kB and goes on in the next one. */
#define MESSAGE_MAX (64 * 1024)

/* TCP_LISTEN, which the kernel uses of UNIX sockets as well. */
#define STATE_LISTEN 10

/* Between finding a socket by its name and being in its queue. */
#define CONNECT_MS 5

struct search {
        dev_t dev;
        ino_t ino;
        struct hf_adopt_socket *found;
        size_t n;
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

static int add(struct search *search, const struct hf_adopt_socket *socket)
{
        struct hf_adopt_socket *more = reallocarray(search->found, search->n + 1,
                                                    sizeof(*search->found));

        if (!more)
                return -ENOMEM;
        search->found = more;
        more[search->n++] = *socket;
        return 0;
}

static int read_one(struct search *search, const struct nlmsghdr *header)
{
        const struct unix_diag_msg *one = NLMSG_DATA(header);
        struct hf_adopt_socket socket = {.inode = one->udiag_ino,
                                         .listens = one->udiag_state == STATE_LISTEN};
        int left = (int)(header->nlmsg_len - NLMSG_LENGTH(sizeof(*one)));
        bool leads = false;

        for (const struct rtattr *attr = (const void *)(one + 1); RTA_OK(attr, left);
             attr = RTA_NEXT(attr, left)) {
                const void *data = RTA_DATA(attr);
                const struct unix_diag_vfs *vfs = data;

                if (attr->rta_type == UNIX_DIAG_VFS)
                        leads = vfs->udiag_vfs_ino == (uint32_t)search->ino &&
                                vfs->udiag_vfs_dev ==
                                        (major(search->dev) << 20 | minor(search->dev));
                else if (attr->rta_type == UNIX_DIAG_PEER)
                        socket.peer = *(const uint32_t *)data;
                else if (attr->rta_type == UNIX_DIAG_RQLEN && socket.listens)
                        socket.waiting = ((const struct unix_diag_rqlen *)data)->udiag_rqueue;
        }
        return leads ? add(search, &socket) : 0;
}

/* Returns 1 when that was the last message. */
static int read_message(struct search *search, const void *message, size_t size)
{
        for (const struct nlmsghdr *header = message; NLMSG_OK(header, size);
             header = NLMSG_NEXT(header, size)) {
                const struct nlmsgerr *failed = NLMSG_DATA(header);
                int r = 0;

                if (header->nlmsg_type == NLMSG_DONE)
                        return 1;
                if (header->nlmsg_type == NLMSG_ERROR)
                        return failed->error ? failed->error : -EIO;
                if (header->nlmsg_type == SOCK_DIAG_BY_FAMILY)
                        r = read_one(search, header);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int look(struct search *search)
{
        hf_cleanup_fd int netlink = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
        hf_cleanup_free void *message = malloc(MESSAGE_MAX);
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
                r = n < 0 ? -errno : read_message(search, message, (size_t)n);
        }
        return r < 0 ? r : 0;
}

int hf_adopt_sockets(const char *path, struct hf_adopt_socket **ret, size_t *ret_n,
                     struct hf_error *err)
{
        struct search search = {0};
        struct stat st;
        int r;

        if (stat(path, &st) < 0)
                return hf_error_sys(err, errno, "%s", path);
        search.dev = st.st_dev;
        search.ino = st.st_ino;
        r = look(&search);
        if (r < 0) {
                free(search.found);
                return hf_error_sys(err, -r, "cannot ask the kernel who has %s", path);
        }
        *ret = search.found;
        *ret_n = search.n;
        return 0;
}

static bool is_wanted(const uint64_t *wanted, size_t n, uint64_t inode)
{
        for (size_t i = 0; i < n; i++)
                if (wanted[i] == inode)
                        return true;
        return false;
}

int hf_adopt_each_socket(const uint64_t *wanted, size_t n,
                         void (*fn)(void *data, pid_t pid, uint64_t inode), void *data)
{
        hf_cleanup_dir DIR *proc = opendir("/proc");
        struct dirent *process, *entry;

        if (!proc)
                return -errno;
        while ((process = readdir(proc))) {
                hf_cleanup_dir DIR *dir = NULL;
                pid_t pid = (pid_t)atoi(process->d_name);
                char path[64], target[64];
                unsigned long long inode;

                (void)snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
                dir = pid > 0 ? opendir(path) : NULL;
                while (dir && (entry = readdir(dir))) {
                        ssize_t len = readlinkat(dirfd(dir), entry->d_name, target,
                                                 sizeof(target) - 1);

                        target[len > 0 ? len : 0] = '\0';
                        if (sscanf(target, "socket:[%llu]", &inode) == 1 &&
                            is_wanted(wanted, n, inode))
                                fn(data, pid, inode);
                }
        }
        return 0;
}

/* ---- out of reach ----------------------------------------------------------------------- */

void hf_adopt_name_aside(const struct hf_paths *paths, char ret[static PATH_MAX])
{
        (void)snprintf(ret, PATH_MAX, "%s.adopt", paths->virtlockd_socket);
}

void hf_adopt_show_socket(const struct hf_paths *paths)
{
        char aside[PATH_MAX];

        hf_adopt_name_aside(paths, aside);
        (void)renameat2(AT_FDCWD, aside, AT_FDCWD, paths->virtlockd_socket, RENAME_NOREPLACE);
}

int hf_adopt_hide_socket(const struct hf_paths *paths, struct hf_error *err)
{
        char aside[PATH_MAX];

        hf_adopt_name_aside(paths, aside);
        if (rename(paths->virtlockd_socket, aside) < 0)
                return hf_error_sys(err, errno, "cannot rename %s", paths->virtlockd_socket);
        /* Who has found it by its name just before is in the queue by then. */
        (void)poll(NULL, 0, CONNECT_MS);
        return 0;
}
