/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "label/libvirt-lock.h"

#include "base/cleanup.h"
#include "base/clock.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define BYTE 1

static int lock(int fd, int command)
{
        struct flock wanted = {
                .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = BYTE, .l_len = 1};

        return fcntl(fd, command, &wanted) < 0 ? -errno : 0;
}

static _Noreturn void wait_in_child(int fd, pid_t parent)
{
        sigset_t none;
        int r;

        (void)sigemptyset(&none);
        (void)sigprocmask(SIG_SETMASK, &none, NULL);
        if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent)
                _exit(EINTR);
        do
                r = lock(fd, F_OFD_SETLKW);
        while (r == -EINTR);
        _exit(-r);
}

static int time_left(int64_t deadline)
{
        int64_t left = deadline - hf_clock_msec(CLOCK_MONOTONIC);

        return left > 0 ? (int)left : 0;
}

/* Returns what the child says of the lock, or -EBUSY when it had to be killed. */
static int watch(pid_t child, int64_t deadline)
{
        hf_cleanup_fd int pidfd = pidfd_open(child, 0);
        struct pollfd end = {.fd = pidfd, .events = POLLIN};
        int status, r;

        do
                r = pidfd < 0 ? 0 : poll(&end, 1, time_left(deadline));
        while (r < 0 && errno == EINTR);
        if (r <= 0)
                (void)kill(child, SIGKILL);
        while (waitpid(child, &status, 0) < 0)
                if (errno != EINTR)
                        return -errno;
        return WIFEXITED(status) ? -WEXITSTATUS(status) : -EBUSY;
}

static int wait_for(int fd, int64_t deadline)
{
        pid_t parent = getpid(), child = fork();

        if (child < 0)
                return -errno;
        if (child == 0)
                wait_in_child(fd, parent);
        return watch(child, deadline);
}

int hf_libvirt_lock(int fd, const char *path, int64_t deadline, int *ret_fd, struct hf_error *err)
{
        hf_cleanup_fd int file = -1;
        struct stat st;
        char name[32];
        int r;

        if (fstat(fd, &st) < 0)
                return hf_error_sys(err, errno, "cannot look at %s", path);
        if (!S_ISREG(st.st_mode))
                return 0;
        (void)snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
        file = open(name, O_RDWR | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
        if (file < 0)
                return errno == EROFS ? 0
                                      : hf_error_sys(err, errno,
                                                     "cannot open %s for libvirt's lock", path);
        r = lock(file, F_OFD_SETLK);
        if (r == -EAGAIN || r == -EACCES)
                r = wait_for(file, deadline);
        if (r == -EBUSY)
                return hf_error_set(err, EBUSY, HF_ERR_RESOURCE_BUSY, HF_FROM_LOCKING,
                                    "%s is being relabelled by libvirt, or somebody else has its "
                                    "lock for that (byte 1)",
                                    path);
        if (r < 0)
                return hf_error_sys(err, -r, "cannot take libvirt's lock on %s", path);
        *ret_fd = hf_steal_fd(&file);
        return 1;
}
