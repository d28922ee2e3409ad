/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Records on disk: in the locked file, or beside it.
 *
 * What is beside is in a directory that others may write to. So nothing there is
 * followed, and nothing is overwritten that is not an empty file or a record, under
 * one name.
 */
#include "storage/record.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "storage/guarantee.h"
#include "storage/resource.h"

#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#define FOLDER ".holdfast"
#define SUFFIX ".holder"

/* Looks until two are alike: a lock changes hands while we read, but not again and again. */
#define LOOKS 5

/* ---- blocks ---- */

/* -EBADMSG: the file has another content, or none. */
static int read_block(int fd, struct hf_record *ret)
{
        uint8_t block[HF_RECORD_SIZE + 1];
        ssize_t got = pread(fd, block, sizeof(block), 0);

        return got < 0 ? -errno : hf_record_decode(block, (size_t)got, ret);
}

bool hf_record_is_all(int fd)
{
        struct hf_record record;

        return read_block(fd, &record) == 0;
}

/* Whether a record may be written there: it is a file with nothing else in it. */
static bool has_room(int fd, struct hf_record *ret_before)
{
        struct stat st;

        *ret_before = (struct hf_record){0};
        if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_nlink > 1)
                return false;
        return st.st_size == 0 || (st.st_size == HF_RECORD_SIZE && read_block(fd, ret_before) == 0);
}

static int write_block(int fd, const struct hf_record *record)
{
        uint8_t block[HF_RECORD_SIZE];
        ssize_t put;

        hf_record_encode(record, block);
        put = pwrite(fd, block, sizeof(block), 0);
        if (put != (ssize_t)sizeof(block))
                return put < 0 ? -errno : -ENOSPC;
        return fdatasync(fd) < 0 ? -errno : 0;
}

/* ---- beside ---- */

/* Where a file lies: its directory, and the names beside it. */
struct beside {
        int dir;
        char name[NAME_MAX + 1]; /* of the record, in the folder */
};

static void close_beside(struct beside *beside)
{
        hf_close_fd(&beside->dir);
}

/* By what the descriptor was opened as, behind all links. */
static int find_beside(int fd, struct beside *ret)
{
        char link[32], path[PATH_MAX], *slash;
        ssize_t len;
        int n;

        ret->dir = -1;
        (void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
        len = readlink(link, path, sizeof(path) - 1);
        if (len < 0)
                return -errno;
        path[len] = '\0';
        slash = strrchr(path, '/');
        if (!slash || path[0] != '/')
                return -ENOENT;
        n = snprintf(ret->name, sizeof(ret->name), "%s%s", slash + 1, SUFFIX);
        if (n >= (int)sizeof(ret->name))
                return -ENAMETOOLONG;
        slash[slash == path] = '\0';
        ret->dir = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
        return ret->dir < 0 ? -errno : 0;
}

static int open_folder(const struct beside *beside)
{
        int fd = openat(beside->dir, FOLDER, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

        return fd < 0 ? -errno : fd;
}

static int open_record(int folder, const struct beside *beside, int flags)
{
        int fd = openat(folder, beside->name,
                        flags | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0600);

        return fd < 0 ? -errno : fd;
}

/* The file for a record, which is made. Others remove the folder when it is empty. */
static int make_record(const struct beside *beside)
{
        int r = -ENOENT;

        for (int i = 0; i < LOOKS && r == -ENOENT; i++) {
                hf_cleanup_fd int folder = -1;

                if (mkdirat(beside->dir, FOLDER, 0700) < 0 && errno != EEXIST)
                        return -errno;
                folder = open_folder(beside);
                r = folder < 0 ? folder : open_record(folder, beside, O_RDWR | O_CREAT);
        }
        return r;
}

/* ---- writing and clearing ---- */

bool hf_record_is_wanted(int fd)
{
        hf_cleanup_mounts struct hf_mounts *mounts = NULL;
        struct hf_guarantee_of guarantee;
        struct hf_thing thing;

        if (!hf_resource_is_shared_with_hosts(fd) || hf_resource_of_fd(fd, &thing) < 0 ||
            hf_mounts_new(&mounts) < 0)
                return false;
        hf_guarantee_of_thing(mounts, &thing, &guarantee);
        return guarantee.level == HF_LEVEL_CLUSTER_ADVISORY;
}

static uint64_t wall_clock(void)
{
        return hf_clock_usec(CLOCK_REALTIME);
}

int hf_record_write(int fd, bool inside, const struct hf_record *record)
{
        hf_cleanup(close_beside) struct beside beside = {.dir = -1};
        hf_cleanup_fd int own = -1;
        struct hf_record before, now = *record;
        struct stat st;
        int r = find_beside(fd, &beside);

        if (!now.directory && r >= 0 && fstat(beside.dir, &st) == 0)
                now.directory = st.st_ino;
        if (!inside || !has_room(fd, &before)) {
                if (r < 0)
                        return r;
                fd = own = make_record(&beside);
                if (fd < 0)
                        return fd;
                if (!has_room(fd, &before))
                        return -EEXIST;
        }
        now.sequence = before.sequence + 1;
        now.written = wall_clock();
        return write_block(fd, &now);
}

/* A record of another one stays, whatever it says. */
static bool is_of(int fd, const struct hf_record *who)
{
        struct hf_record record;

        return read_block(fd, &record) == 0 && hf_record_same_host(&record, who) &&
               (!who->epoch || record.epoch == who->epoch);
}

void hf_record_clear(int fd, bool inside, const struct hf_record *who)
{
        hf_cleanup(close_beside) struct beside beside = {.dir = -1};
        hf_cleanup_fd int folder = -1, record = -1;
        bool ours;

        if (inside && is_of(fd, who)) {
                if (ftruncate(fd, 0) == 0)
                        (void)fdatasync(fd);
                return;
        }
        if (find_beside(fd, &beside) < 0 || (folder = open_folder(&beside)) < 0)
                return;
        record = open_record(folder, &beside, O_RDONLY);
        ours = record >= 0 && is_of(record, who);
        hf_close_fd(&record);
        if (ours && unlinkat(folder, beside.name, 0) == 0)
                (void)unlinkat(beside.dir, FOLDER, AT_REMOVEDIR);
}

/* ---- looking ---- */

struct glance {
        bool held, known;
        struct hf_record record;
};

/* Also where it is shared. */
static int is_held(int fd, bool *ret)
{
        struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 1};

        if (fcntl(fd, F_OFD_GETLK, &lock) < 0)
                return -errno;
        *ret = lock.l_type != F_UNLCK;
        return 0;
}

/* A network filesystem remembers for a while what was not in a directory, unless it is asked. */
static void refresh(int dir)
{
        struct statx sx;

        (void)statx(dir, "", AT_EMPTY_PATH | AT_STATX_FORCE_SYNC, STATX_MTIME, &sx);
}

static bool read_record(int fd, struct hf_record *ret)
{
        hf_cleanup(close_beside) struct beside beside = {.dir = -1};
        hf_cleanup_fd int folder = -1, record = -1;
        struct stat st;

        if (read_block(fd, ret) == 0)
                return true;
        if (find_beside(fd, &beside) < 0)
                return false;
        refresh(beside.dir);
        folder = open_folder(&beside);
        if (folder < 0)
                return false;
        refresh(folder);
        record = open_record(folder, &beside, O_RDONLY);
        return record >= 0 && fstat(record, &st) == 0 && S_ISREG(st.st_mode) &&
               read_block(record, ret) == 0;
}

/*
 * Opened each time: that is when a network filesystem asks its server for what is new. What is
 * no file is not opened, for that alone may do something: a watchdog starts.
 */
static int glance_at(const char *path, struct glance *ret)
{
        hf_cleanup_fd int fd = -1;
        struct hf_thing thing;
        bool after = false;
        struct stat st;
        int r = hf_resource_identify(path, &thing);

        *ret = (struct glance){0};
        if (r < 0)
                return r;
        fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
        if (fd < 0 || fstat(fd, &st) < 0)
                return -errno;
        r = hf_thing_of(&st, &thing);
        if (r < 0)
                return r;
        r = is_held(fd, &ret->held);
        if (r < 0)
                return r;
        ret->known = read_record(fd, &ret->record);
        r = is_held(fd, &after);
        ret->held &= after;
        return r;
}

static bool are_alike(const struct glance *a, const struct glance *b)
{
        return a->held == b->held && a->known == b->known &&
               (!a->known ||
                (a->record.sequence == b->record.sequence && a->record.epoch == b->record.epoch));
}

int hf_record_look(const char *path, struct hf_record *ret_record, enum hf_record_verdict *ret)
{
        struct glance before, now;
        int r = glance_at(path, &now), looks = 1;
        bool alike = false;

        for (; r >= 0 && !alike && looks < LOOKS; looks++) {
                before = now;
                r = glance_at(path, &now);
                alike = are_alike(&before, &now);
        }
        if (r < 0)
                return r;
        /* One that changes as fast as this tells of nobody in particular. */
        now.known &= alike;
        if (now.known)
                *ret_record = now.record;
        if (now.held)
                *ret = now.known ? HF_RECORD_HELD : HF_RECORD_UNKNOWN;
        else
                *ret = now.known ? HF_RECORD_LAST : HF_RECORD_FREE;
        return 0;
}
