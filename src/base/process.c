/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/process.h"

#include "base/cleanup.h"

#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/pidfd.h>

/*
 * /proc/PID/stat is one line of about 50 numbers of at most 20 digits, with
 * the process's name in the second place.
 */
#define STAT_SIZE 2048

/* Among the kernel's flags of a thread: it has begun to end. Its files are closed after that. */
#define PF_EXITING 0x4UL

/* What we need of that line. */
struct stat_line {
        char state;
        unsigned long flags;
        long threads;
        uint64_t start;
        char comm[HF_PROCESS_COMM_MAX];
};

/* "No such file" may mean that /proc is hidden from us; only kill() knows. */
static int no_entry(pid_t pid)
{
        if (kill(pid, 0) < 0 && errno == ESRCH)
                return -ESRCH;
        return -EACCES;
}

/* Reads a small file of /proc/PID with one read, which the kernel answers whole. */
static int read_proc(pid_t pid, const char *name, char *text, size_t size)
{
        hf_cleanup_fd int fd = -1;
        char path[64];
        ssize_t got;

        if (pid <= 0)
                return -ESRCH;
        (void)snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                return errno == ENOENT ? no_entry(pid) : -errno;
        do
                got = read(fd, text, size - 1);
        while (got < 0 && errno == EINTR);
        if (got < 0)
                return -errno;
        text[got] = '\0';
        return 0;
}

/*
 * The name stands in parentheses and may itself hold spaces, parentheses and
 * line ends; no later field does, so the last ")" closes it. After it come
 * field 3 (state), 9 (flags), 20 (threads) and 22 (start).
 */
static int parse_stat(const char *text, struct stat_line *ret)
{
        const char *name = strchr(text, '('), *after = strrchr(text, ')');

        if (!name || !after || after < name ||
            sscanf(after + 1,
                   " %c %*s %*s %*s %*s %*s %lu %*s %*s %*s %*s %*s %*s %*s %*s %*s "
                   "%*s %ld %*s %" SCNu64,
                   &ret->state, &ret->flags, &ret->threads, &ret->start) != 4)
                return -EIO;
        (void)snprintf(ret->comm, sizeof(ret->comm), "%.*s", (int)(after - name - 1), name + 1);
        return 0;
}

/* A first thread that has ended shows as Z or X, though others of its process still run. */
static bool is_dead(const struct stat_line *line)
{
        return (line->state == 'Z' || line->state == 'X') && line->threads <= 1;
}

static int read_stat(pid_t pid, struct stat_line *ret)
{
        char text[STAT_SIZE];
        int r;

        r = read_proc(pid, "stat", text, sizeof(text));
        if (r >= 0)
                r = parse_stat(text, ret);
        if (r < 0)
                return r;
        return is_dead(ret) ? -ESRCH : 0;
}

int hf_process_start(pid_t pid, uint64_t *ret)
{
        struct stat_line line;
        int r;

        r = read_stat(pid, &line);
        if (r < 0)
                return r;
        *ret = line.start;
        return 0;
}

bool hf_process_is_ending(pid_t pid)
{
        struct stat_line line;
        int r = read_stat(pid, &line);

        return r == -ESRCH || (r >= 0 && line.flags & PF_EXITING);
}

int hf_process_pidfd_is_dead(int pidfd)
{
        struct pollfd poller = {.fd = pidfd, .events = POLLIN};
        int r;

        do
                r = poll(&poller, 1, 0);
        while (r < 0 && errno == EINTR);
        if (r < 0)
                return -errno;
        return poller.revents & POLLNVAL ? -EBADF : r > 0;
}

static int open_error(pid_t pid, int number, struct hf_error *err)
{
        if (number == ESRCH)
                return hf_error_sys(err, number, "process %d is not there", pid);
        return hf_error_sys(err, number, "cannot look at process %d", pid);
}

int hf_process_open(pid_t pid, int *ret_pidfd, struct hf_process *ret, struct hf_error *err)
{
        hf_cleanup_fd int pidfd = -1;
        struct stat_line line;
        int r;

        if (pid <= 0)
                return open_error(pid, ESRCH, err);
        pidfd = pidfd_open(pid, 0);
        if (pidfd < 0)
                /* EINVAL, since Linux 6.16 ENOENT: a thread's id, which is no process. */
                return open_error(pid, errno == EINVAL || errno == ENOENT ? ESRCH : errno, err);
        r = read_stat(pid, &line);
        if (r < 0)
                return open_error(pid, -r, err);
        /* Alive after the reading: so it had the pid during it, and what was read is its own. */
        r = hf_process_pidfd_is_dead(pidfd);
        if (r != 0)
                return open_error(pid, r < 0 ? -r : ESRCH, err);
        if (ret) {
                *ret = (struct hf_process){.pid = pid, .start = line.start};
                memcpy(ret->comm, line.comm, sizeof(ret->comm));
        }
        if (ret_pidfd)
                *ret_pidfd = hf_steal_fd(&pidfd);
        return 0;
}

int hf_process_comm(pid_t pid, char *ret, size_t size)
{
        char text[HF_PROCESS_COMM_MAX];
        size_t len;
        int r;

        r = read_proc(pid, "comm", text, sizeof(text));
        if (r < 0)
                return r;
        len = strlen(text);
        if (len && text[len - 1] == '\n')
                text[len - 1] = '\0';
        (void)snprintf(ret, size, "%s", text);
        return 0;
}
