/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/monitor.h"

#include "cli/message.h"
#include "vm/qemu-cmdline.h"

#include "base/cleanup.h"
#include "base/path.h"
#include "base/process.h"
#include "base/socket.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* Of the names of the two files: "PID-START" and one of these. */
#define SOCKET_SUFFIX ".qmp"
#define CONFIG_SUFFIX ".conf"

/* What -readconfig takes; QEMU's own words have no way to write a quotation mark in a value. */
#define CONFIG_TEXT                                                                                \
        "[chardev \"holdfast\"]\n  backend = \"socket\"\n  %s = \"%s\"\n  server = \"on\"\n"       \
        "  wait = \"off\"\n\n[mon \"holdfast\"]\n  chardev = \"holdfast\"\n  mode = \"control\"\n"

/* Whether somebody has bound that path: a line of /proc/net/unix ends with it. */
static bool is_bound(const char *path)
{
        hf_cleanup_file FILE *file = fopen("/proc/net/unix", "re");
        char line[512];

        while (file && fgets(line, sizeof(line), file)) {
                const char *at = strchr(line, '/');

                line[strcspn(line, "\n")] = '\0';
                if (at && !strcmp(at, path))
                        return true;
        }
        return false;
}

/* Of a process that is gone, or not by that name. */
static bool is_left_over(const char *name)
{
        unsigned long long start;
        uint64_t now;
        int pid;

        if (sscanf(name, "%d-%llu.", &pid, &start) != 2 || pid <= 0)
                return false;
        return hf_process_start(pid, &now) < 0 || now != start;
}

/* dir: of either kind of file. */
static void sweep(const char *dir, const char *sockets)
{
        hf_cleanup_dir DIR *entries = opendir(dir);
        struct dirent *entry;

        while (entries && (entry = readdir(entries))) {
                size_t len = strcspn(entry->d_name, ".");
                hf_cleanup_free char *socket = NULL;

                if (!is_left_over(entry->d_name))
                        continue;
                if (asprintf(&socket, "%s/%.*s" SOCKET_SUFFIX, sockets, (int)len, entry->d_name) <
                    0) {
                        socket = NULL;
                        continue;
                }
                if (!is_bound(socket))
                        (void)unlinkat(dirfd(entries), entry->d_name, 0);
        }
}

static int write_config(const struct hf_monitor *monitor)
{
        hf_cleanup_fd int fd = open(monitor->config, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        char number[16];
        int r;

        if (fd < 0)
                return -errno;
        (void)snprintf(number, sizeof(number), "%d", monitor->fd);
        r = dprintf(fd, CONFIG_TEXT, monitor->has_fd ? "fd" : "path",
                    monitor->has_fd ? number : monitor->socket) < 0
                    ? -errno
                    : 0;
        /* Whatever the umask says: another user has to read it. */
        if (r == 0 && monitor->has_fd && fchmod(fd, 0644) < 0)
                r = -errno;
        if (r < 0)
                (void)unlink(monitor->config);
        return r;
}

/* The user's words, and ours behind them. */
static int extend(char **argv, struct hf_monitor *monitor)
{
        size_t n = 0;

        while (argv[n])
                n++;
        monitor->argv = calloc(n + 3, sizeof(*monitor->argv));
        if (!monitor->argv)
                return -ENOMEM;
        memcpy(monitor->argv, argv, n * sizeof(*argv));
        monitor->argv[n] = (char *)(uintptr_t) "-readconfig";
        monitor->argv[n + 1] = monitor->config;
        return 0;
}

static int name_files(const char *sockets, const char *configs, struct hf_monitor *monitor)
{
        uint64_t start;
        int r = hf_process_start(getpid(), &start);

        if (r < 0)
                return r;
        if (asprintf(&monitor->socket, "%s/%d-%llu" SOCKET_SUFFIX, sockets, (int)getpid(),
                     (unsigned long long)start) < 0)
                monitor->socket = NULL;
        if (asprintf(&monitor->config, "%s/%d-%llu" CONFIG_SUFFIX, configs, (int)getpid(),
                     (unsigned long long)start) < 0)
                monitor->config = NULL;
        if (!monitor->socket || !monitor->config)
                return -ENOMEM;
        if (strlen(monitor->socket) >= sizeof(((struct sockaddr_un *)NULL)->sun_path))
                return -ENAMETOOLONG;
        return strchr(monitor->socket, '"') ? -EINVAL : 0;
}

/* Not close-on-exec: QEMU gets it as it is. */
static int listen_for(struct hf_monitor *monitor)
{
        int r = hf_socket_listen(monitor->socket, 0600, 1, &monitor->fd, NULL);

        if (r < 0)
                return r;
        monitor->has_fd = true;
        return fcntl(monitor->fd, F_SETFD, 0) < 0 ? -errno : 0;
}

/* Whatever the umask says. */
static int make_dir(const char *dir, mode_t mode)
{
        int r = hf_path_make_dirs(dir, 0700, NULL);

        return r < 0 ? r : chmod(dir, mode) < 0 ? -errno : 0;
}

static int make_in(const char *sockets, const char *configs, char **argv, bool other_user,
                   struct hf_monitor *monitor)
{
        int r = make_dir(sockets, 0700);

        if (r >= 0 && other_user)
                r = make_dir(configs, 0711);
        if (r < 0)
                return r;
        sweep(sockets, sockets);
        sweep(configs, sockets);
        r = name_files(sockets, other_user ? configs : sockets, monitor);
        if (r >= 0 && other_user)
                r = listen_for(monitor);
        if (r >= 0)
                r = extend(argv, monitor);
        return r < 0 ? r : write_config(monitor);
}

static int make(char **argv, bool other_user, struct hf_monitor *monitor)
{
        hf_cleanup_paths struct hf_paths paths = {0};
        hf_cleanup_free char *sockets = NULL, *configs = NULL;
        int r = hf_paths_init(&paths, NULL);

        if (r < 0)
                return r;
        if (asprintf(&sockets, "%s/monitors", paths.run_dir) < 0)
                sockets = NULL;
        if (asprintf(&configs, "%s/monitors-of-users", paths.run_dir) < 0)
                configs = NULL;
        if (!sockets || !configs)
                return -ENOMEM;
        r = hf_path_make_dirs(paths.run_dir, paths.privileged ? 0755 : 0700, NULL);
        return r < 0 ? r : make_in(sockets, configs, argv, other_user, monitor);
}

void hf_monitor_prepare(char **argv, bool other_user, struct hf_monitor *ret)
{
        int r;

        *ret = (struct hf_monitor){0};
        if (!hf_qemu_takes_config((const char *const *)argv))
                return;
        r = make(argv, other_user, ret);
        if (r >= 0)
                return;
        hf_message(
                "QEMU gets no monitor socket of its own (%s): should a lock be lost, it is paused "
                "by a signal",
                strerror(-r));
        if (ret->has_fd)
                (void)unlink(ret->socket);
        hf_monitor_clear(ret);
}

void hf_monitor_handed_on(struct hf_monitor *monitor)
{
        if (monitor->has_fd)
                (void)close(monitor->fd);
        monitor->has_fd = false;
}

void hf_monitor_remove(struct hf_monitor *monitor)
{
        if (!monitor->socket || is_bound(monitor->socket))
                return;
        (void)unlink(monitor->socket);
        (void)unlink(monitor->config);
}

void hf_monitor_clear(struct hf_monitor *monitor)
{
        hf_monitor_handed_on(monitor);
        free(monitor->socket);
        free(monitor->config);
        free(monitor->argv);
        *monitor = (struct hf_monitor){0};
}
