/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Which sockets of this host lead to a socket file, and who has them: from the kernel
 * (base/unix-diag.h, and /proc), without connecting to anybody.
 */
#include "cli/adopt.h"

#include "base/cleanup.h"
#include "base/unix-diag.h"

#include <fcntl.h>
#include <poll.h>
#include <string.h>

/* Between finding a socket by its name and being in its queue. */
#define CONNECT_MS 5

struct found {
        struct hf_adopt_socket *sockets;
        size_t n;
};

static int add(void *data, const struct hf_unix_socket *socket)
{
        struct found *found = data;
        struct hf_adopt_socket *more = reallocarray(found->sockets, found->n + 1, sizeof(*more));

        if (!more)
                return -ENOMEM;
        found->sockets = more;
        more[found->n++] = (struct hf_adopt_socket){.inode = socket->inode,
                                                    .peer = socket->peer,
                                                    .listens = socket->listens,
                                                    .waiting = socket->waiting};
        return 0;
}

int hf_adopt_sockets(const char *path, struct hf_adopt_socket **ret, size_t *ret_n,
                     struct hf_error *err)
{
        struct found found = {0};
        struct stat st;
        int r;

        if (stat(path, &st) < 0)
                return hf_error_sys(err, errno, "%s", path);
        r = hf_unix_sockets_of(&st, add, &found);
        if (r < 0) {
                free(found.sockets);
                return hf_error_sys(err, -r, "cannot ask the kernel who has %s", path);
        }
        *ret = found.sockets;
        *ret_n = found.n;
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
