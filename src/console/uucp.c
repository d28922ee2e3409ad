/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "console/uucp-private.h"

#include "base/cleanup.h"
#include "base/clock.h"

#include <fcntl.h>
#include <string.h>
#include <sys/file.h>

/*
 * Making a file needs no lock: link(2) succeeds for one. Removing one does: between the look at a
 * dead file and its removal another program may have removed it, and made its own. So whoever
 * removes has the directory locked by flock and looks again before it does.
 *
 * Anybody who may read the directory can keep it locked. That holds up only those who find a dead
 * file, and them for a second.
 */

/* So long the directory's lock is waited for. Who has it needs microseconds: so it is asked for
 * soon, and then less often. */
#define LOCK_WAIT_MSEC      1000
#define LOCK_STEP_NSEC      50000
#define LOCK_STEP_NSEC_MOST 5000000

/* A name that changes more often between two looks is in use. */
#define TRIES 64

/* The modes of a file in it: all may read. */
#define FILE_MODE 0644

struct taking {
        int dir;
        bool locked, read_only;
        const char *dir_name;
        const pid_t *take_from;
        struct hf_uucp_all all;
        struct hf_uucp *out;
        struct hf_uucp_holder *holder;
        struct hf_error *err;
};

static int lock_dir(int dir)
{
        int64_t until = hf_clock_msec(CLOCK_MONOTONIC) + LOCK_WAIT_MSEC;
        struct timespec step = {0, LOCK_STEP_NSEC};

        while (flock(dir, LOCK_EX | LOCK_NB) < 0) {
                if (errno != EWOULDBLOCK && errno != EINTR)
                        return -errno;
                if (hf_clock_msec(CLOCK_MONOTONIC) > until)
                        return -EAGAIN;
                (void)nanosleep(&step, NULL);
                if (step.tv_nsec < LOCK_STEP_NSEC_MOST)
                        step.tv_nsec *= 2;
        }
        return 0;
}

void hf_uucp_names(const char *path, pid_t pid, struct hf_uucp *ret)
{
        struct hf_uucp_all all;

        hf_uucp_all_names(path, 0, &all);
        memset(ret, 0, sizeof(*ret));
        ret->pid = pid;
        for (size_t i = 0; i < all.n_made && i < HF_UUCP_NAMES; i++)
                memcpy(ret->names[i], all.names[i], sizeof(ret->names[i]));
}

static int busy(struct taking *taking, const char *name, pid_t pid)
{
        if (taking->holder) {
                (void)snprintf(taking->holder->name, sizeof(taking->holder->name), "%s", name);
                taking->holder->pid = pid;
        }
        if (!pid)
                return hf_error_set(taking->err, EBUSY, HF_ERR_RESOURCE_BUSY, HF_FROM_LOCKING,
                                    "there is a lock file %s/%s", taking->dir_name, name);
        return hf_error_set(taking->err, EBUSY, HF_ERR_RESOURCE_BUSY, HF_FROM_LOCKING,
                            "process %d has the lock file %s/%s", (int)pid, taking->dir_name, name);
}

/* Is removing this file denied for good? Then it stays, and nobody has it. */
static bool is_denied(int number)
{
        return number == -EACCES || number == -EPERM || number == -EROFS;
}

/* 0; 1: all is to be looked at again; or an error. */
static int remove_dead(struct taking *taking, const char *name, const struct hf_uucp_seen *seen)
{
        int r;

        if (taking->read_only)
                return 0;
        if (!taking->locked) {
                r = lock_dir(taking->dir);
                if (r < 0)
                        return hf_error_sys(taking->err, -r,
                                            "%s/%s is a dead process's, and another program keeps "
                                            "the directory locked",
                                            taking->dir_name, name);
                taking->locked = true;
                return 1;
        }
        r = hf_uucp_remove(taking->dir, name, seen);
        if (r < 0 && is_denied(r))
                return 0;
        if (r < 0 && r != -EAGAIN)
                return hf_error_sys(taking->err, -r, "cannot remove the lock file %s/%s",
                                    taking->dir_name, name);
        return r == -EAGAIN ? 1 : r;
}

/* Looks at all names; removes the dead. As remove_dead. */
static int clear_names(struct taking *taking)
{
        struct hf_uucp_seen seen;
        int r;

        for (size_t i = 0; i < taking->all.n; i++) {
                hf_uucp_look(taking->dir, taking->all.names[i], taking->take_from, &seen);
                if (seen.state == HF_UUCP_TAKEN)
                        return busy(taking, taking->all.names[i], seen.pid);
                if (seen.state != HF_UUCP_DEAD)
                        continue;
                r = remove_dead(taking, taking->all.names[i], &seen);
                if (r != 0)
                        return r;
        }
        return 0;
}

/* A file with our content, under a name that nobody looks at. *ret_name is to be removed again. */
static int make_file(struct taking *taking, char ret_name[HF_UUCP_ASIDE_MAX])
{
        char content[HF_UUCP_CONTENT + 1];
        hf_cleanup_fd int fd = -1;
        ssize_t n;

        hf_uucp_format(taking->out->pid, content);
        hf_uucp_name_aside("new", ret_name);
        fd = openat(taking->dir, ret_name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
                    FILE_MODE);
        if (fd < 0)
                return -errno;
        n = write(fd, content, HF_UUCP_CONTENT);
        if (n == HF_UUCP_CONTENT && fchmod(fd, FILE_MODE) == 0)
                return 0;
        n = n < 0 ? -errno : -ENOSPC;
        (void)unlinkat(taking->dir, ret_name, 0);
        return (int)n;
}

static void unmake(struct taking *taking)
{
        for (size_t i = 0; i < HF_UUCP_NAMES; i++) {
                if (taking->out->names[i][0])
                        (void)unlinkat(taking->dir, taking->out->names[i], 0);
                taking->out->names[i][0] = '\0';
        }
}

/* Links it to the names. 0; 1: one of them is there meanwhile; or an error. */
static int link_names(struct taking *taking, const char *file)
{
        for (size_t i = 0; i < taking->all.n_made && i < HF_UUCP_NAMES; i++) {
                const char *name = taking->all.names[i];
                struct hf_uucp_seen seen;
                int r;

                if (linkat(taking->dir, file, taking->dir, name, 0) == 0) {
                        memcpy(taking->out->names[i], name, NAME_MAX + 1);
                        continue;
                }
                r = -errno;
                hf_uucp_look(taking->dir, name, taking->take_from, &seen);
                if (r == -EEXIST && seen.state == HF_UUCP_DEAD && taking->locked &&
                    is_denied(hf_uucp_remove(taking->dir, name, &seen)))
                        continue; /* it cannot be removed, and means nothing */
                unmake(taking);
                return r == -EEXIST ? 1 : r;
        }
        return 0;
}

static int take_once(struct taking *taking)
{
        char file[HF_UUCP_ASIDE_MAX];
        int r = clear_names(taking);

        if (r != 0 || taking->read_only)
                return r;
        r = make_file(taking, file);
        if (is_denied(r)) {
                taking->read_only = true;
                return 0;
        }
        if (r < 0)
                return hf_error_sys(taking->err, -r, "cannot make a lock file in %s",
                                    taking->dir_name);
        r = link_names(taking, file);
        (void)unlinkat(taking->dir, file, 0);
        if (r < 0)
                return hf_error_sys(taking->err, -r, "cannot make the lock file %s/%s",
                                    taking->dir_name, taking->all.names[0]);
        return r;
}

static int open_dir(const char *name)
{
        int fd = open(name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        /* To look for names in it another right is enough; it cannot be locked then. */
        if (fd < 0 && errno == EACCES)
                fd = open(name, O_PATH | O_DIRECTORY | O_CLOEXEC);
        return fd < 0 ? -errno : fd;
}

int hf_uucp_take(const char *dir, const char *path, dev_t rdev, pid_t pid, const pid_t *take_from,
                 struct hf_uucp *ret, struct hf_uucp_holder *ret_holder, struct hf_error *err)
{
        struct hf_uucp out = {.pid = pid};
        hf_cleanup_fd int fd = *dir ? open_dir(dir) : -ENOENT;
        struct taking taking = {.dir = fd,
                                .dir_name = dir,
                                .take_from = take_from,
                                .out = &out,
                                .holder = ret_holder,
                                .err = err};
        int r = 1;

        if (fd == -ENOENT || fd == -ENOTDIR || fd == -EACCES) {
                *ret = out;
                return 0;
        }
        if (fd < 0)
                return hf_error_sys(err, -fd, "cannot open the directory of lock files, %s", dir);
        hf_uucp_all_names(path, rdev, &taking.all);
        taking.read_only = (fcntl(fd, F_GETFL) & O_PATH) ||
                           (faccessat(fd, ".", W_OK, AT_EACCESS) < 0 && is_denied(-errno));
        for (int i = 0; r == 1 && i < TRIES; i++)
                r = take_once(&taking);
        if (r == 1)
                return busy(&taking, taking.all.names[0], 0);
        if (r == 0)
                *ret = out;
        return r;
}

/* Removes a file with this pid in it. */
static void remove_of(int dir, const char *name, pid_t pid)
{
        struct hf_uucp_seen seen;

        hf_uucp_look(dir, name, (const pid_t[]){pid, 0}, &seen);
        if (seen.state != HF_UUCP_FREE && seen.pid == pid)
                (void)hf_uucp_remove(dir, name, &seen);
}

void hf_uucp_give_back(const char *dir, const struct hf_uucp *uucp)
{
        hf_cleanup_fd int fd = -1;

        if (!*dir || uucp->pid <= 0)
                return;
        fd = open_dir(dir);
        if (fd < 0)
                return;
        /* If a stranger keeps it locked: better removed than left to be found dead. */
        (void)lock_dir(fd);
        for (size_t i = 0; i < HF_UUCP_NAMES; i++)
                if (uucp->names[i][0])
                        remove_of(fd, uucp->names[i], uucp->pid);
}

void hf_uucp_sweep(const char *dir, pid_t pid)
{
        hf_cleanup_fd int fd = *dir && pid > 0 ? open_dir(dir) : -1;
        int again = fd < 0 ? -1 : openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        hf_cleanup_dir DIR *list = again < 0 ? NULL : fdopendir(again);
        struct hf_uucp_seen seen;

        if (!list) {
                hf_close_fd(&again);
                return;
        }
        (void)lock_dir(fd);
        for (struct dirent *e; (e = readdir(list)) != NULL;) {
                hf_uucp_remove_aside(fd, e->d_name);
                if (strncmp(e->d_name, "LCK..", 5) != 0)
                        continue;
                hf_uucp_look_for(fd, e->d_name, pid, &seen);
                if (seen.state == HF_UUCP_DEAD && seen.pid == pid)
                        (void)hf_uucp_remove(fd, e->d_name, &seen);
        }
}
