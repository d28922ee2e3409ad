/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/daemonize.h"

#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>

/* The status of the first process when the daemon died without a word. */
#define STATUS_UNKNOWN 1

static _Noreturn void wait_for_report(int fd)
{
        uint8_t status = STATUS_UNKNOWN;
        ssize_t n;

        do
                n = read(fd, &status, sizeof(status));
        while (n < 0 && errno == EINTR);
        _exit(n == sizeof(status) ? status : STATUS_UNKNOWN);
}

static int detach(void)
{
        hf_cleanup_fd int null = open("/dev/null", O_RDWR | O_CLOEXEC);

        if (null < 0 || setsid() < 0 || chdir("/") < 0)
                return -errno;
        for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
                if (dup2(null, fd) < 0)
                        return -errno;
        return 0;
}

int hf_daemonize(void)
{
        int pipe_fds[2], r;
        pid_t pid;

        if (pipe2(pipe_fds, O_CLOEXEC) < 0)
                return -errno;
        pid = fork();
        if (pid < 0)
                return -errno;
        if (pid > 0) {
                (void)close(pipe_fds[1]);
                wait_for_report(pipe_fds[0]);
        }
        (void)close(pipe_fds[0]);
        r = detach();
        if (r < 0) {
                hf_daemonize_report(pipe_fds[1], STATUS_UNKNOWN);
                return r;
        }
        return pipe_fds[1];
}

void hf_daemonize_report(int fd, int status)
{
        uint8_t byte = (uint8_t)status;

        if (fd < 0)
                return;
        (void)!write(fd, &byte, sizeof(byte));
}

int hf_daemonize_fix_path(const char **path, const char *option, char ***argv)
{
        hf_cleanup_free char *directory = NULL;
        char **words, *word;
        size_t n = 0;

        if (!*path || **path == '/')
                return 0;
        directory = getcwd(NULL, 0);
        while ((*argv)[n])
                n++;
        words = calloc(n + 2, sizeof(*words));
        if (!directory || !words || asprintf(&word, "%s=%s/%s", option, directory, *path) < 0) {
                free(words);
                return errno ? -errno : -ENOMEM;
        }
        memcpy(words, *argv, n * sizeof(*words));
        words[n] = word;
        *path = strchr(word, '=') + 1;
        *argv = words;
        return 0;
}

int hf_fill_standard_descriptors(void)
{
        /* Only where one is closed: a successor may find the table full. */
        for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
                if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) < 0)
                        return -errno;
        return 0;
}
