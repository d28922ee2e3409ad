/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * A folder: for each unit UNIT.lock, whose lock (OFD, so that it is the descriptor's and not the
 * process') excludes all others, and UNIT.state, which is replaced as a whole. What is being
 * written is UNIT.new until it is on disk; who has the lock may write over one that somebody left.
 */

#include "prhelper/emulated/state-text.h"
#include "prhelper/emulated/store.h"

#include "base/cleanup.h"
#include "base/clock.h"

#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

/* Between two tries for the lock: as long as one that has it needs it. */
#define RETRY_NS (5 * 1000 * 1000)

/* The longest ending is ".state". */
#define WORD_MAX (NAME_MAX + 1 - 6)

struct hf_pr_store {
        char *place;
        int dir, lock; /* -1: not between begin and end */
};

static void files_end(struct hf_pr_store *store)
{
        hf_close_fd(&store->lock);
        hf_close_fd(&store->dir);
}

static void files_close(struct hf_pr_store *store)
{
        if (!store)
                return;
        files_end(store);
        free(store->place);
        free(store);
}

static void close_store(struct hf_pr_store **store)
{
        files_close(*store);
}

/* Its name is on disk as well, or a loss of power takes it with all that was kept in it. */
static int make_folder(const char *place)
{
        hf_cleanup_free char *copy = strdup(place);
        hf_cleanup_fd int above = -1;

        if (!copy)
                return -ENOMEM;
        if (mkdir(place, 0700) < 0)
                return errno == EEXIST ? 0 : -errno;
        above = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        return above < 0 || fsync(above) < 0 ? -errno : 0;
}

static int files_open(const char *place, bool make, struct hf_pr_store **ret, struct hf_error *err)
{
        hf_cleanup(close_store) struct hf_pr_store *store = calloc(1, sizeof(*store));
        int result;

        if (!store)
                return hf_error_sys(err, ENOMEM, "%s", place);
        store->dir = store->lock = -1;
        store->place = strdup(place);
        if (!store->place)
                return hf_error_sys(err, ENOMEM, "%s", place);
        result = make ? make_folder(place) : 0;
        if (result < 0)
                return hf_error_sys(err, -result, "the folder %s", place);
        *ret = hf_steal_ptr(store);
        return 0;
}

static int name_of(const char *unit, const char *ending, char ret[static NAME_MAX + 1],
                   struct hf_error *err)
{
        int length = hf_pr_word_encode(unit, false, ret, WORD_MAX);

        if (length < 0)
                return hf_error_sys(err, -length, "the unit %s", unit);
        memcpy(ret + length, ending, strlen(ending) + 1);
        return 0;
}

/* Somebody may have tidied up and removed the file that we have the lock of. */
static bool still_there(int dir, const char *name, int fd)
{
        struct stat named, open;

        return fstatat(dir, name, &named, AT_SYMLINK_NOFOLLOW) == 0 && fstat(fd, &open) == 0 &&
               named.st_dev == open.st_dev && named.st_ino == open.st_ino;
}

/* 1: got it, 0: another has it, -errno. */
static int try_lock(int dir, const char *name, bool write, int *ret)
{
        struct flock lock = {.l_type = write ? F_WRLCK : F_RDLCK, .l_whence = SEEK_SET, .l_len = 1};
        hf_cleanup_fd int fd = openat(dir, name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

        if (fd < 0)
                return -errno;
        if (fcntl(fd, F_OFD_SETLK, &lock) < 0)
                return errno == EAGAIN || errno == EACCES ? 0 : -errno;
        if (!still_there(dir, name, fd))
                return 0;
        *ret = hf_steal_fd(&fd);
        return 1;
}

static int take_lock(struct hf_pr_store *store, const char *unit, bool write, struct hf_error *err)
{
        const struct timespec pause = {.tv_nsec = RETRY_NS};
        int64_t deadline = hf_clock_msec(CLOCK_MONOTONIC) + HF_PR_STORE_PATIENCE * 1000;
        char name[NAME_MAX + 1];
        int result = name_of(unit, ".lock", name, err);

        if (result < 0)
                return result;
        while ((result = try_lock(store->dir, name, write, &store->lock)) == 0) {
                if (hf_clock_msec(CLOCK_MONOTONIC) >= deadline)
                        return hf_error_set(err, EBUSY, HF_ERR_RESOURCE_BUSY, HF_FROM_LOCKSPACE,
                                            "%s/%s is locked for more than %d seconds",
                                            store->place, name, HF_PR_STORE_PATIENCE);
                (void)nanosleep(&pause, NULL);
        }
        if (result < 0)
                return hf_error_sys(err, -result, "%s/%s", store->place, name);
        return 0;
}

static int read_state(const struct hf_pr_store *store, const char *unit, struct hf_pr_state *ret,
                      struct hf_error *err)
{
        hf_cleanup_free char *text = NULL;
        hf_cleanup_fd int fd = -1;
        char name[NAME_MAX + 1];
        size_t n = 0;
        ssize_t came;
        int result = name_of(unit, ".state", name, err);

        if (result < 0)
                return result;
        fd = openat(store->dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        if (fd < 0 && errno == ENOENT) {
                *ret = (struct hf_pr_state){0};
                return 0;
        }
        text = malloc(HF_PR_STATE_TEXT_MAX + 1);
        if (!text)
                return hf_error_sys(err, ENOMEM, "%s/%s", store->place, name);
        do {
                came = fd < 0 ? -1 : read(fd, text + n, HF_PR_STATE_TEXT_MAX + 1 - n);
                if (came < 0)
                        return hf_error_sys(err, errno, "%s/%s", store->place, name);
                n += (size_t)came;
        } while (came > 0);
        result = hf_pr_state_decode(text, n, ret, err);
        if (result < 0)
                hf_error_prefix(err, "%s/%s", store->place, name);
        return result;
}

static int files_begin(struct hf_pr_store *store, const char *unit, bool write,
                       struct hf_pr_state *ret, struct hf_error *err)
{
        int result = 0;

        store->dir = open(store->place, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (store->dir < 0)
                return hf_error_sys(err, errno, "the folder %s", store->place);
        result = take_lock(store, unit, write, err);
        if (result == 0)
                result = read_state(store, unit, ret, err);
        if (result < 0)
                files_end(store);
        return result;
}

static int write_all(int fd, const char *text, size_t n)
{
        while (n > 0) {
                ssize_t written = write(fd, text, n);

                if (written < 0)
                        return -errno;
                text += written;
                n -= (size_t)written;
        }
        return fsync(fd) < 0 ? -errno : 0;
}

static int replace(int dir, const char *new, const char *name, const char *text, size_t n)
{
        hf_cleanup_fd int fd = openat(dir, new,
                                      O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
        int result;

        if (fd < 0)
                return -errno;
        result = write_all(fd, text, n);
        if (result < 0)
                return result;
        if (renameat(dir, new, dir, name) < 0 || fsync(dir) < 0)
                return -errno;
        return 0;
}

static int files_commit(struct hf_pr_store *store, const char *unit,
                        const struct hf_pr_state *state, struct hf_error *err)
{
        hf_cleanup_free char *text = NULL;
        char new[NAME_MAX + 1], name[NAME_MAX + 1];
        int result = name_of(unit, ".lock", name, err);
        size_t n;

        if (result < 0)
                return result;
        if (!still_there(store->dir, name, store->lock))
                return hf_error_set(err, ESTALE, HF_ERR_INTERNAL, HF_FROM_LOCKSPACE,
                                    "%s/%s has been removed while it was locked", store->place,
                                    name);
        result = name_of(unit, ".new", new, err);
        if (result == 0)
                result = name_of(unit, ".state", name, err);
        if (result < 0)
                return result;
        result = hf_pr_state_encode(state, &text, &n);
        if (result == 0)
                result = replace(store->dir, new, name, text, n);
        if (result < 0)
                return hf_error_sys(err, -result, "%s/%s", store->place, name);
        return 0;
}

const struct hf_pr_store_ops hf_pr_store_files = {
        .open = files_open,
        .begin = files_begin,
        .commit = files_commit,
        .end = files_end,
        .close = files_close,
};
