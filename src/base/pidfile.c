/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/pidfile.h"

#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>

/* The file may be removed by the daemon that ends while we open it; then there is a new try. */
#define TRIES 100

static bool is_still(const char *path, int fd)
{
        struct stat a, b;

        errno = 0;
        return stat(path, &a) == 0 && fstat(fd, &b) == 0 && a.st_dev == b.st_dev &&
               a.st_ino == b.st_ino;
}

static int write_pid(int fd, pid_t pid)
{
        char text[32];
        int len = snprintf(text, sizeof(text), "%d\n", (int)pid);

        /* The new text first: a reader finds one of the two. */
        if (pwrite(fd, text, (size_t)len, 0) != len || ftruncate(fd, len) < 0)
                return errno ? -errno : -EIO;
        return 0;
}

int hf_pidfile_rewrite(const char *path, int fd, pid_t pid)
{
        if (fd < 0)
                return 0;
        /* Who may not look at it any longer has it open all the same. */
        return is_still(path, fd) || errno == EACCES ? write_pid(fd, pid) : -ESTALE;
}

int hf_pidfile_take(const char *path, pid_t pid, int *ret_fd, struct hf_error *err)
{
        struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 1};

        for (int i = 0; i < TRIES; i++) {
                hf_cleanup_fd int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
                int r;

                if (fd < 0)
                        return hf_error_sys(err, errno, "cannot open the pid file %s", path);
                if (fcntl(fd, F_OFD_SETLK, &lock) < 0) {
                        if (errno != EAGAIN && errno != EACCES)
                                return hf_error_sys(err, errno, "cannot lock the pid file %s",
                                                    path);
                        return hf_error_set(err, EBUSY, HF_ERR_RESOURCE_BUSY, HF_FROM_NONE,
                                            "a daemon is running already: it holds the pid file "
                                            "%s",
                                            path);
                }
                if (!is_still(path, fd))
                        continue;
                r = write_pid(fd, pid);
                if (r < 0)
                        return hf_error_sys(err, -r, "cannot write the pid file %s", path);
                *ret_fd = hf_steal_fd(&fd);
                return 0;
        }
        return hf_error_set(err, EAGAIN, HF_ERR_INTERNAL, HF_FROM_NONE,
                            "the pid file %s is being replaced all the time", path);
}

void hf_pidfile_drop(const char *path, int fd)
{
        if (fd < 0)
                return;
        (void)unlink(path);
        (void)close(fd);
}
