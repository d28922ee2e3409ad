/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "console/openers.h"

#include "base/cleanup.h"
#include "base/process.h"

#include <fcntl.h>
#include <linux/kcmp.h>
#include <stdint.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <termios.h>

/*
 * The file behind /proc/PID/fd/N is asked for with AT_STATX_DONT_SYNC, and the way to it is no
 * path that is walked: so a file server that does not answer holds nobody up here.
 */

/* The kernel's numbers of terminals of devpts, and of what opens their other side. */
#define PTS_MAJOR_FIRST 136
#define PTS_MAJOR_LAST  143
#define PTMX_MAJOR      5
#define PTMX_MINOR      2

/* All that a scan knows. */
struct scan {
        const struct stat *st;
        int own;
        struct statx self; /* the program that we are */
        bool self_known;
        struct hf_openers *ret;
};

/* One process of it. */
struct one {
        struct hf_opener opener;
        bool opens, lives, owns;
};

bool hf_openers_is_pts(const struct stat *st)
{
        return S_ISCHR(st->st_mode) && major(st->st_rdev) >= PTS_MAJOR_FIRST &&
               major(st->st_rdev) <= PTS_MAJOR_LAST;
}

static bool stat_link(int dir, const char *name, struct statx *ret)
{
        return statx(dir, name, AT_STATX_DONT_SYNC, STATX_TYPE | STATX_INO, ret) == 0;
}

static bool is_it(const struct scan *scan, const struct statx *stx)
{
        dev_t dev = makedev(stx->stx_dev_major, stx->stx_dev_minor);

        if ((stx->stx_mode & S_IFMT) != (scan->st->st_mode & S_IFMT))
                return false;
        if (!S_ISCHR(scan->st->st_mode))
                return dev == scan->st->st_dev && stx->stx_ino == scan->st->st_ino;
        return makedev(stx->stx_rdev_major, stx->stx_rdev_minor) == scan->st->st_rdev &&
               (!hf_openers_is_pts(scan->st) || dev == scan->st->st_dev);
}

static bool read_text(int dir, const char *name, char *text, size_t size)
{
        hf_cleanup_fd int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
        ssize_t n = fd < 0 ? -1 : read(fd, text, size - 1);

        if (n < 0)
                return false;
        text[n] = '\0';
        return true;
}

/* Whether this descriptor is the other side of our terminal: the kernel says which one in fdinfo.
 */
static bool has_other_side(const struct scan *scan, const struct statx *stx, const char *info)
{
        unsigned int minors = 256;
        const char *index;

        if (!hf_openers_is_pts(scan->st) || !S_ISCHR(stx->stx_mode) ||
            stx->stx_rdev_major != PTMX_MAJOR || stx->stx_rdev_minor != PTMX_MINOR)
                return false;
        index = strstr(info, "tty-index:");
        return index && strtoul(index + strlen("tty-index:"), NULL, 10) ==
                                (major(scan->st->st_rdev) - PTS_MAJOR_FIRST) * minors +
                                        minor(scan->st->st_rdev);
}

/* Whether its descriptor is a duplicate of ours. Where the kernel does not say, it is not. */
static bool is_ours(const struct scan *scan, pid_t pid, const char *fd)
{
        return scan->own >= 0 &&
               syscall(SYS_kcmp, getpid(), pid, KCMP_FILE, scan->own, strtoul(fd, NULL, 10)) == 0;
}

/*
 * Whether it was hung up: a descriptor that is dead, of a program that has not noticed. It takes a
 * copy of it to know; where that is not allowed it counts as alive.
 */
static bool is_dead(int pidfd, const char *fd)
{
        hf_cleanup_fd int copy = pidfd < 0 ? -1 : pidfd_getfd(pidfd, atoi(fd), 0);
        struct termios settings;

        return copy >= 0 && tcgetattr(copy, &settings) < 0 && errno == EIO;
}

static void look_at_fd(const struct scan *scan, pid_t pid, int dir, const char *fd, struct one *one)
{
        char name[NAME_MAX + 16], info[1024];
        hf_cleanup_fd int pidfd = -1;
        struct statx stx;

        (void)snprintf(name, sizeof(name), "fd/%s", fd);
        if (!stat_link(dir, name, &stx) || !S_ISCHR(stx.stx_mode) != !S_ISCHR(scan->st->st_mode))
                return;
        (void)snprintf(name, sizeof(name), "fdinfo/%s", fd);
        if (!is_it(scan, &stx)) {
                if (S_ISCHR(stx.stx_mode) && stx.stx_rdev_major == PTMX_MAJOR &&
                    read_text(dir, name, info, sizeof(info)) && has_other_side(scan, &stx, info))
                        one->owns = true;
                return;
        }
        if (is_ours(scan, pid, fd))
                return;
        pidfd = S_ISCHR(stx.stx_mode) ? pidfd_open(pid, 0) : -1;
        one->lives = one->lives || !is_dead(pidfd, fd);
        one->opens = true;
        if (read_text(dir, name, info, sizeof(info)) && strstr(info, "FLOCK"))
                one->opener.flock = true;
}

bool hf_openers_describe(pid_t pid, struct hf_opener *ret)
{
        char path[32], comm[HF_PROCESS_COMM_MAX] = "?";
        struct stat st;

        (void)snprintf(path, sizeof(path), "/proc/%d", (int)pid);
        if (stat(path, &st) < 0)
                return false;
        (void)hf_process_comm(pid, comm, sizeof(comm));
        ret->pid = pid;
        ret->uid = st.st_uid;
        (void)snprintf(ret->program, sizeof(ret->program), "%s", comm);
        return true;
}

static bool same_program(const struct scan *scan, int dir, uid_t uid)
{
        struct statx exe;

        return scan->self_known && uid == geteuid() && stat_link(dir, "exe", &exe) &&
               exe.stx_ino == scan->self.stx_ino && exe.stx_dev_major == scan->self.stx_dev_major &&
               exe.stx_dev_minor == scan->self.stx_dev_minor;
}

static void look_at_process(const struct scan *scan, pid_t pid)
{
        char path[32];
        hf_cleanup_fd int dir = -1, fds = -1;
        hf_cleanup_dir DIR *list = NULL;
        struct one one = {0};

        (void)snprintf(path, sizeof(path), "/proc/%d", (int)pid);
        dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        fds = dir < 0 ? -1 : openat(dir, "fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        list = fds < 0 ? NULL : fdopendir(fds);
        if (!list)
                return;
        (void)hf_steal_fd(&fds);
        for (struct dirent *e; (e = readdir(list)) != NULL;)
                if (e->d_name[0] != '.')
                        look_at_fd(scan, pid, dir, e->d_name, &one);
        if (!one.opens || one.owns || scan->ret->n == HF_OPENERS_MAX ||
            !hf_openers_describe(pid, &one.opener) || same_program(scan, dir, one.opener.uid))
                return;
        one.opener.dead = !one.lives;
        scan->ret->list[scan->ret->n++] = one.opener;
}

size_t hf_openers_alive(const struct hf_openers *openers)
{
        size_t n = 0;

        for (size_t i = 0; i < openers->n; i++)
                n += !openers->list[i].dead;
        return n;
}

void hf_openers_find(const struct stat *st, int own, struct hf_openers *ret)
{
        struct scan scan = {.st = st, .own = own, .ret = ret};
        hf_cleanup_dir DIR *proc = opendir("/proc");

        ret->n = 0;
        scan.self_known = stat_link(AT_FDCWD, "/proc/self/exe", &scan.self);
        if (!proc)
                return;
        for (struct dirent *e; (e = readdir(proc)) != NULL;) {
                pid_t pid = (pid_t)strtol(e->d_name, NULL, 10);

                if (pid > 0 && pid != getpid())
                        look_at_process(&scan, pid);
        }
}
