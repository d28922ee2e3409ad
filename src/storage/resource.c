/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "storage/resource.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "storage/nfs-lease.h"
#include "storage/record.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

/* Not in linux/magic.h, where they are the filesystem's own affair. */
#define GFS2_MAGIC   0x01161970
#define LUSTRE_MAGIC 0x0bd00bd0
#define GPFS_MAGIC   0x47504653

/* virtlockd's byte. */
#define LOCK_OFFSET 0
#define LOCK_LENGTH 1

/*
 * How often a lock file may be replaced under us before we give up: each time
 * means that another process freed and removed it between our open and lock.
 */
#define AUTOCREATE_TRIES 1000

/*
 * A file server answers "stale" for a file that another host has removed since we looked
 * it up, and then a new look helps; or for an export that is gone, and then none does.
 */
#define STALE_TRIES 200

/* What try_take says when the file was replaced meanwhile. */
#define REPLACED 1

static int set_lock_by(int command, int fd, short type)
{
        struct flock lock = {
                .l_type = type,
                .l_whence = SEEK_SET,
                .l_start = LOCK_OFFSET,
                .l_len = LOCK_LENGTH,
        };

        if (fcntl(fd, command, &lock) < 0)
                return errno == EACCES ? -EAGAIN : -errno;
        return 0;
}

static int set_lock(int fd, short type)
{
        return set_lock_by(F_OFD_SETLK, fd, type);
}

/* Whether path still leads to the file that is open as fd. */
static bool still_named(const char *path, const struct stat *open_file)
{
        struct stat named;

        return stat(path, &named) == 0 && named.st_dev == open_file->st_dev &&
               named.st_ino == open_file->st_ino;
}

/*
 * Never blocks on a fifo or a tape, never becomes a controlling terminal. A
 * shared lock needs no right to write, except on a file that we may have to
 * make and, when its last user goes, to lock exclusively and remove.
 */
static int open_flags(const struct hf_resource_request *request)
{
        int flags = O_CLOEXEC | O_NONBLOCK | O_NOCTTY;

        if (request->autocreate)
                return flags | O_RDWR | O_CREAT;
        return flags | (request->shared ? O_RDONLY : O_RDWR);
}

/*
 * Whether path leads to the file that was locked, as its server knows it. On a network
 * filesystem neither a stat nor a plain open settles that: the name may be looked up in
 * this host's memory, and the file be opened by its handle, although another host has
 * removed it since. To make a file that must not be there yet asks the server for
 * the name itself; where it is made, the name was free. What another host removes while
 * we have it open may keep its handle and lose its last link.
 *
 * Returns 0, or REPLACED, or a negative errno.
 */
static int check_name(const struct hf_resource_request *request, int fd,
                      const struct hf_thing *locked)
{
        int flags = open_flags(request);
        hf_cleanup_fd int made = open(request->path, flags | O_CREAT | O_EXCL, 0600);
        hf_cleanup_fd int named = made < 0 ? open(request->path, flags & ~O_CREAT) : -1;
        struct hf_thing now;
        struct statx sx;
        struct stat st;

        if (made >= 0)
                return REPLACED;
        if (named < 0)
                return errno == ENOENT ? REPLACED : -errno;
        if (fstat(named, &st) < 0)
                return -errno;
        if (hf_thing_of(&st, &now) < 0 || !hf_thing_same(&now, locked))
                return REPLACED;
        if (statx(fd, "", AT_EMPTY_PATH | AT_STATX_FORCE_SYNC, STATX_NLINK, &sx) < 0)
                return -errno;
        return sx.stx_nlink == 0 ? REPLACED : 0;
}

/*
 * Opens what is to be locked. Where the name in this host's memory is that of a file
 * that another host has removed, it is made anew: to make a file asks the server, and so
 * the next try knows better even where somebody else was quicker.
 */
static int open_to_lock(const struct hf_resource_request *request)
{
        int flags = open_flags(request);
        int fd = open(request->path, flags, 0600);

        if (fd < 0 && errno == ESTALE && request->autocreate) {
                fd = open(request->path, flags | O_EXCL, 0600);
                if (fd < 0 && errno == EEXIST)
                        errno = ESTALE;
        }
        return fd;
}

/* Opens it, and finds out what it is. */
static int open_thing(const struct hf_resource_request *request, int *ret_fd, struct stat *ret_st,
                      struct hf_thing *ret)
{
        hf_cleanup_fd int fd = open_to_lock(request);
        int r;

        if (fd < 0 || fstat(fd, ret_st) < 0)
                return -errno;
        r = hf_thing_of(ret_st, ret);
        if (r >= 0)
                *ret_fd = hf_steal_fd(&fd);
        return r;
}

/* One try. Returns REPLACED when the lock file was replaced meanwhile and a new try is due. */
static int try_take(const struct hf_resource_request *request, struct hf_resource_result *ret)
{
        hf_cleanup_fd int fd = -1;
        struct stat st;
        int r = open_thing(request, &fd, &st, &ret->file);

        if (r < 0)
                return r;
        r = set_lock(fd, request->shared ? F_RDLCK : F_WRLCK);
        if (r < 0)
                return r;
        r = request->autocreate ? check_name(request, fd, &ret->file) : 0;
        if (r == 0)
                ret->fd = hf_steal_fd(&fd);
        return r;
}

/* Until a try tells more than that another one is due. */
static void try_until(int (*one_try)(const struct hf_resource_request *request,
                                     struct hf_resource_result *ret),
                      const struct hf_resource_request *request, struct hf_resource_result *ret)
{
        int tries = 0, stale = 0;

        *ret = (struct hf_resource_result){.fd = -1};
        do
                ret->status = one_try(request, ret);
        while ((ret->status == REPLACED && ++tries < AUTOCREATE_TRIES) ||
               (ret->status == -ESTALE && ++stale < STALE_TRIES));
        if (ret->status == REPLACED)
                ret->status = -EAGAIN;
}

void hf_resource_take(const struct hf_resource_request *request, struct hf_resource_result *ret)
{
        try_until(try_take, request, ret);
}

/* By looking again and again, at first soon. */
static int poll_lock(int fd, short type)
{
        uint64_t pause = HF_RESOURCE_POLL_FIRST_USEC;
        int r;

        while ((r = set_lock(fd, type)) == -EAGAIN) {
                (void)usleep((useconds_t)pause);
                pause = hf_resource_next_pause(pause);
        }
        return r;
}

/* What a filesystem says that has locks, but nobody to wake who waits for one. */
static bool cannot_wait(int r)
{
        return r == -EAGAIN || r == -ENOLCK || r == -EINVAL || r == -EOPNOTSUPP || r == -ENOSYS;
}

static int wait_for_lock(int fd, short type)
{
        int r;

        do
                r = set_lock_by(F_OFD_SETLKW, fd, type);
        while (r == -EINTR);
        return cannot_wait(r) ? poll_lock(fd, type) : r;
}

/* One try, however long it takes. Returns REPLACED as try_take. */
static int try_await(const struct hf_resource_request *request, struct hf_resource_result *ret)
{
        hf_cleanup_fd int fd = -1;
        struct stat st;
        int r = open_thing(request, &fd, &st, &ret->file);

        if (r >= 0)
                r = wait_for_lock(fd, request->shared ? F_RDLCK : F_WRLCK);
        if (r < 0)
                return r;
        ret->proved = hf_clock_usec(CLOCK_BOOTTIME);
        /* What a file server has said last may have been long ago. */
        r = hf_resource_prove(fd, request->shared);
        if (r < 0)
                return r == -EIO || r == -EAGAIN ? REPLACED : r;
        if (request->autocreate)
                r = check_name(request, fd, &ret->file);
        else if (S_ISREG(st.st_mode) && !still_named(request->path, &st))
                r = REPLACED;
        if (r == 0)
                ret->fd = hf_steal_fd(&fd);
        return r;
}

void hf_resource_await(const struct hf_resource_request *request, struct hf_resource_result *ret)
{
        try_until(try_await, request, ret);
}

int hf_resource_prove(int fd, bool shared)
{
        int r = hf_nfs_is_on(fd) ? hf_nfs_prove(fd) : 0;

        /* What the server has given up would be taken anew, as if nothing had been. */
        if (hf_nfs_is_loss(r))
                return -EIO;
        return set_lock(fd, shared ? F_RDLCK : F_WRLCK);
}

static int open_cached(const char *path, int flags, uint64_t resolve)
{
        struct open_how how = {
                .flags = (uint64_t)(unsigned int)flags,
                .resolve = RESOLVE_CACHED | resolve,
        };

        return (int)syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof(how));
}

static int thing_at(int dir, const char *name, int flags, struct hf_thing *ret)
{
        struct statx sx;
        struct stat st;

        if (statx(dir, name, flags | AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT, STATX_TYPE | STATX_INO,
                  &sx) < 0)
                return -errno;
        st = (struct stat){.st_mode = sx.stx_mode,
                           .st_ino = sx.stx_ino,
                           .st_dev = makedev(sx.stx_dev_major, sx.stx_dev_minor),
                           .st_rdev = makedev(sx.stx_rdev_major, sx.stx_rdev_minor)};
        return hf_thing_of(&st, ret);
}

int hf_resource_of_fd(int fd, struct hf_thing *ret)
{
        return thing_at(fd, "", AT_EMPTY_PATH, ret);
}

int hf_resource_of_entry(int dir, const char *entry, struct hf_thing *ret)
{
        return thing_at(dir, entry, 0, ret);
}

/* To be named, not to be read: no filesystem is told of such a descriptor. */
static int name_cached(const char *path, int *ret_fd)
{
        *ret_fd = open_cached(path, O_PATH | O_CLOEXEC, 0);
        return *ret_fd < 0 ? -errno : 0;
}

int hf_resource_identify_cached(const char *path, struct hf_thing *ret)
{
        hf_cleanup_fd int fd = -1;
        int r = name_cached(path, &fd);

        return r < 0 ? r : hf_resource_of_fd(fd, ret);
}

int hf_resource_parent_cached(const char *path, uint64_t *ret_dev)
{
        const char *slash = strrchr(path, '/');
        hf_cleanup_free char *parent = slash ? strndup(path, (size_t)(slash - path) + 1) : NULL;
        hf_cleanup_fd int fd = -1;
        struct statx sx;
        int r = parent ? name_cached(parent, &fd) : -ENOENT;

        if (r < 0)
                return r;
        if (statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_TYPE, &sx) < 0)
                return -errno;
        *ret_dev = makedev(sx.stx_dev_major, sx.stx_dev_minor);
        return 0;
}

/* Whether the kernel knows that path leads to the thing. */
static bool is_cached_name(const char *path, const struct hf_thing *thing)
{
        hf_cleanup_fd int fd = open_cached(path, O_PATH | O_CLOEXEC, RESOLVE_NO_SYMLINKS);
        struct hf_thing named;

        return fd >= 0 && hf_resource_of_fd(fd, &named) == 0 && hf_thing_same(&named, thing);
}

bool hf_resource_take_cached(const struct hf_resource_request *request,
                             struct hf_resource_result *ret)
{
        struct hf_resource_result result = {.fd = -1};

        result.fd = open_cached(request->path, open_flags(request) & ~O_CREAT, RESOLVE_NO_SYMLINKS);
        if (result.fd < 0)
                return false;
        result.status = hf_resource_of_fd(result.fd, &result.file);
        if (result.status >= 0)
                result.status = set_lock(result.fd, request->shared ? F_RDLCK : F_WRLCK);
        /* Replaced, or perhaps so: a lock of it would be none. */
        if (result.status >= 0 && request->autocreate &&
            !is_cached_name(request->path, &result.file)) {
                hf_resource_give(result.fd, NULL);
                return false;
        }
        *ret = result;
        return true;
}

bool hf_resource_is_shared_with_hosts(int fd)
{
        static const unsigned int types[] = {
                NFS_SUPER_MAGIC,  GFS2_MAGIC,       OCFS2_SUPER_MAGIC, CEPH_SUPER_MAGIC,
                CIFS_SUPER_MAGIC, SMB2_SUPER_MAGIC, FUSE_SUPER_MAGIC,  V9FS_MAGIC,
                AFS_SUPER_MAGIC,  AFS_FS_MAGIC,     LUSTRE_MAGIC,      GPFS_MAGIC,
        };
        struct statfs sfs;

        if (fstatfs(fd, &sfs) < 0)
                return true;
        for (size_t i = 0; i < HF_ARRAY_LEN(types); i++)
                if ((unsigned int)sfs.f_type == types[i])
                        return true;
        return false;
}

static void unlink_if_ours_alone(int fd, const char *path)
{
        struct stat st;

        /*
         * The order to remove it may be held up on its way to a file server, until another
         * host has the lock and we have not, and take the file from under that one.
         */
        if (hf_resource_is_shared_with_hosts(fd))
                return;
        /* A shared lock becomes exclusive only where nobody else has a share. */
        if (set_lock(fd, F_WRLCK) < 0)
                return;
        if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) &&
            (st.st_size == 0 || hf_record_is_all(fd)) && still_named(path, &st))
                (void)unlink(path);
}

void hf_resource_give(int fd, const char *unlink_path)
{
        if (unlink_path)
                unlink_if_ours_alone(fd, unlink_path);
        (void)set_lock(fd, F_UNLCK);
        (void)close(fd);
}

int hf_resource_create(const char *path)
{
        int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0600);

        if (fd < 0)
                return -errno;
        (void)close(fd);
        return 0;
}

int hf_resource_delete(const char *path)
{
        return unlink(path) < 0 && errno != ENOENT ? -errno : 0;
}

int hf_resource_identify(const char *path, struct hf_thing *ret)
{
        struct stat st;

        if (stat(path, &st) < 0)
                return -errno;
        return hf_thing_of(&st, ret);
}
