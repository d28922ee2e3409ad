/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "prhelper/listen.h"

#include "base/cleanup.h"
#include "base/socket.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>

/* VMs that start at once wait here; the kernel has it at 4096 at most. */
#define BACKLOG 128

/* Where a program's files are that has no other word. */
static int default_path(const char *suffix, char path[static HF_PR_PATH_MAX], struct hf_error *err)
{
        const char *dir = secure_getenv("HOLDFAST_RUN_DIR");

        if (dir && *dir != '/')
                return hf_error_set(err, EINVAL, HF_ERR_INVALID_ARG, HF_FROM_NONE,
                                    "HOLDFAST_RUN_DIR must be an absolute path, not \"%s\"", dir);
        if (snprintf(path, HF_PR_PATH_MAX, "%s/qemu-pr-helper.%s", dir ? dir : HF_RUNSTATEDIR,
                     suffix) >= HF_PR_PATH_MAX)
                return hf_error_sys(err, ENAMETOOLONG, "HOLDFAST_RUN_DIR");
        return 0;
}

static int copy_path(const char *from, char path[static HF_PR_PATH_MAX], struct hf_error *err)
{
        if (snprintf(path, HF_PR_PATH_MAX, "%s", from) >= HF_PR_PATH_MAX)
                return hf_error_sys(err, ENAMETOOLONG, "%.64s...", from);
        return 0;
}

int hf_pr_pidfile(const struct hf_pr_arguments *arguments, char path[static HF_PR_PATH_MAX],
                  struct hf_error *err)
{
        if (arguments->pidfile)
                return copy_path(arguments->pidfile, path, err);
        return default_path("pid", path, err);
}

static int take_passed(int n, const struct hf_pr_arguments *arguments, int *ret_fd,
                       struct hf_error *err)
{
        if (arguments->socket)
                return hf_error_set(err, EINVAL, HF_ERR_INVALID_ARG, HF_FROM_NONE,
                                    "--socket cannot be used together with a socket that is "
                                    "passed to us");
        if (n > 1)
                return hf_error_set(err, EINVAL, HF_ERR_INVALID_ARG, HF_FROM_NONE,
                                    "%d sockets were passed to us, one is possible", n);
        if (sd_is_socket(SD_LISTEN_FDS_START, AF_UNIX, SOCK_STREAM, 1) <= 0)
                return hf_error_set(err, EINVAL, HF_ERR_INVALID_ARG, HF_FROM_NONE,
                                    "what was passed to us is no UNIX socket that listens");
        if (fcntl(SD_LISTEN_FDS_START, F_SETFL, O_NONBLOCK) < 0)
                return hf_error_sys(err, errno, "cannot use the socket that was passed to us");
        *ret_fd = SD_LISTEN_FDS_START;
        return 0;
}

static int set_group(const char *path, const char *name, struct hf_error *err)
{
        const struct group *group = getgrnam(name);

        if (!group)
                return hf_error_set(err, EINVAL, HF_ERR_CONFIG_UNSUPPORTED, HF_FROM_NONE,
                                    "socket_group: there is no group \"%s\"", name);
        /* Not what a link leads to: the folder may be the peer's. */
        if (lchown(path, (uid_t)-1, group->gr_gid) < 0)
                return hf_error_sys(err, errno, "cannot give %s to the group %s", path, name);
        return 0;
}

/* By the umask where nothing else is said, as QEMU's helper has it. */
static mode_t socket_mode(const struct hf_pr_settings *settings)
{
        mode_t mask;

        if (settings->socket_mode >= 0)
                return (mode_t)settings->socket_mode;
        mask = umask(0);
        (void)umask(mask);
        return 0777 & ~mask;
}

int hf_pr_listen(const struct hf_pr_arguments *arguments, const struct hf_pr_settings *settings,
                 char path[static HF_PR_PATH_MAX], int *ret_fd, struct hf_error *err)
{
        hf_cleanup_fd int fd = -1;
        int r = sd_listen_fds(1);

        *path = '\0';
        if (r > 0)
                return take_passed(r, arguments, ret_fd, err);
        r = arguments->socket ? copy_path(arguments->socket, path, err)
                              : default_path("sock", path, err);
        if (r >= 0)
                r = hf_socket_listen(path, socket_mode(settings), BACKLOG, &fd, err);
        if (r < 0)
                return r;
        if (settings->socket_group)
                r = set_group(path, settings->socket_group, err);
        if (r < 0) {
                (void)unlink(path);
                return r;
        }
        *ret_fd = hf_steal_fd(&fd);
        return 0;
}
