/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "keeper/place.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/pidfile.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <systemd/sd-daemon.h>

#define MODULE "keeper.place"

/* From the death of a supervisor until its heir has written the pid file: some milliseconds. */
#define HEIR_LIMIT_NS (10 * 1000000000ULL)
#define RETRY_MS      20

/* A path in the tree of cgroups, and more. */
#define CGROUP_MAX 4096

enum whose {
        OURS,   /* a process of the same service */
        NOBODY, /* the process has ended */
        OTHERS,
};

static int read_file(const char *path, char *ret, size_t size)
{
        hf_cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
        ssize_t n = fd < 0 ? -1 : read(fd, ret, size - 1);

        if (n < 0)
                return -errno;
        ret[n] = '\0';
        return 0;
}

static enum whose whose(pid_t pid)
{
        char ours[CGROUP_MAX], its[CGROUP_MAX], path[64];
        int r;

        (void)snprintf(path, sizeof(path), "/proc/%d/cgroup", (int)pid);
        if (kill(pid, 0) < 0 && errno == ESRCH)
                return NOBODY;
        r = read_file(path, its, sizeof(its));
        if (r < 0)
                return r == -ENOENT || r == -ESRCH ? NOBODY : OTHERS;
        return read_file("/proc/self/cgroup", ours, sizeof(ours)) == 0 && !strcmp(ours, its)
                       ? OURS
                       : OTHERS;
}

static pid_t named_in(const char *pid_file)
{
        char text[32];

        return read_file(pid_file, text, sizeof(text)) < 0 ? 0 : (pid_t)atoi(text);
}

int hf_keeper_take_place(const char *pid_file, pid_t pid, int *ret_fd, struct hf_error *err)
{
        uint64_t end = hf_clock_nsec(CLOCK_MONOTONIC) + HEIR_LIMIT_NS;

        for (;;) {
                int r = hf_pidfile_take(pid_file, pid, ret_fd, err);
                pid_t other = r == -EBUSY && getenv("NOTIFY_SOCKET") ? named_in(pid_file) : 0;
                enum whose its = other > 0 ? whose(other) : OTHERS;

                if (its == OURS && sd_notifyf(0, "MAINPID=%d\nREADY=1", (int)other) > 0) {
                        hf_log(HF_LOG_INFO, MODULE, "pid %d of this service serves already",
                               (int)other);
                        return 1;
                }
                if (its != NOBODY || hf_clock_nsec(CLOCK_MONOTONIC) > end)
                        return r;
                (void)poll(NULL, 0, RETRY_MS);
        }
}

void hf_keeper_watchdog_off(const struct hf_keeper *keeper, bool off)
{
        uint64_t usec = hf_keeper_watchdog_usec(keeper);

        if (usec)
                (void)sd_notifyf(0, "WATCHDOG_USEC=%" PRIu64, off ? 0 : usec);
}
