/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Files that a program which may do anything believes: how they are written, and what is asked
 * of them before they are read.
 */
#include "driver/sanlock/note-private.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

static int write_all(int fd, const char *text)
{
        size_t len = strlen(text);

        while (len > 0) {
                ssize_t put = write(fd, text, len);

                if (put < 0 && errno == EINTR)
                        continue;
                if (put < 0)
                        return -errno;
                text += put;
                len -= (size_t)put;
        }
        return 0;
}

static int write_new(const char *path, const char *text)
{
        hf_cleanup_fd int fd = -1;
        int r;

        /* What a writer of this name left behind that was killed. */
        (void)unlink(path);
        fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (fd < 0)
                return -errno;
        /* Whatever the umask says. */
        r = fchmod(fd, 0600) < 0 ? -errno : write_all(fd, text);
        if (r < 0)
                (void)unlink(path);
        return r;
}

int hf_sanlock_note_write_file(const char *path, const char *text, struct hf_error *err)
{
        hf_cleanup_free char *other = NULL;
        int r;

        if (asprintf(&other, "%s.new", path) < 0) {
                other = NULL;
                return hf_error_sys(err, ENOMEM, "cannot write %s", path);
        }
        r = write_new(other, text);
        if (r >= 0 && rename(other, path) < 0) {
                r = -errno;
                (void)unlink(other);
        }
        return r < 0 ? hf_error_sys(err, -r, "cannot write %s", path) : 0;
}

static int refuse(struct hf_error *err, const char *path, const char *why)
{
        return hf_error_set(err, EPERM, HF_ERR_OPERATION_DENIED, HF_FROM_LOCKING,
                            "%s is not believed: %s", path, why);
}

/*
 * A directory on the way: whoever can write one can put others in the place of what is in it. Where
 * all may, as in /tmp, they can do that to what is their own only.
 */
static int check_dir(int fd, const char *path, uid_t *owner, struct hf_error *err)
{
        struct stat st;

        if (fstat(fd, &st) < 0)
                return hf_error_sys(err, errno, "cannot stat a directory of %s", path);
        if ((st.st_mode & (S_IWGRP | S_IWOTH)) && !(st.st_mode & S_ISVTX))
                return refuse(err, path, "others can write its directory, or one above that");
        if (st.st_uid != 0 && *owner != 0 && st.st_uid != *owner)
                return refuse(err, path, "its directories are of several users");
        if (st.st_uid != 0)
                *owner = st.st_uid;
        return 0;
}

static int check_file(const struct stat *st, size_t most, uid_t dir_owner, const char *path,
                      struct hf_error *err)
{
        if (!S_ISREG(st->st_mode))
                return refuse(err, path, "it is no regular file");
        if (st->st_nlink != 1)
                return refuse(err, path, "it has several names");
        if (st->st_mode & (S_IWGRP | S_IWOTH))
                return refuse(err, path, "others can write it");
        if (dir_owner != 0 && dir_owner != st->st_uid)
                return refuse(err, path, "its directory, or one above that, is another user's");
        if (st->st_size < 0 || (size_t)st->st_size > most)
                return refuse(err, path, "it is too long");
        return 0;
}

static int read_all(int fd, char *text, size_t room, size_t *ret_len)
{
        size_t len = 0;

        while (len < room) {
                ssize_t got = read(fd, text + len, room - len);

                if (got < 0 && errno == EINTR)
                        continue;
                if (got < 0)
                        return -errno;
                if (got == 0)
                        break;
                len += (size_t)got;
        }
        text[len] = '\0';
        *ret_len = len;
        return 0;
}

/*
 * Opens the directory of path, each of those above it by its own name, and no links. *ret_owner is
 * the one user besides root who could have changed what is there; 0: none.
 */
static int open_dir(const char *path, char *parts, int *ret_dir, uid_t *ret_owner,
                    struct hf_error *err)
{
        hf_cleanup_fd int dir = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
        char *part, *rest = parts;
        int r = dir < 0 ? -errno : 0;

        if (r >= 0)
                r = check_dir(dir, path, ret_owner, err);
        while (r >= 0 && (part = strsep(&rest, "/"))) {
                int next;

                if (!*part)
                        continue;
                next = openat(dir, part, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
                if (next < 0 && errno == ENOTDIR)
                        return refuse(err, path, "its directory, or one above that, is a link");
                if (next < 0)
                        return hf_error_sys(err, errno, "cannot open a directory of %s", path);
                hf_close_fd(&dir);
                dir = next;
                r = check_dir(dir, path, ret_owner, err);
        }
        if (r >= 0)
                *ret_dir = hf_steal_fd(&dir);
        return r;
}

static int open_in(const char *path, int *ret_dir, const char **ret_name, uid_t *ret_owner,
                   struct hf_error *err)
{
        const char *slash = strrchr(path, '/');
        hf_cleanup_free char *parts = NULL;

        if (path[0] != '/' || !slash[1])
                return hf_error_set(err, EINVAL, HF_ERR_INVALID_ARG, HF_FROM_NONE,
                                    "\"%s\" is no path of a note", path);
        parts = strndup(path, (size_t)(slash - path));
        if (!parts)
                return hf_error_sys(err, ENOMEM, "cannot open %s", path);
        *ret_name = slash + 1;
        return open_dir(path, parts, ret_dir, ret_owner, err);
}

int hf_sanlock_note_read_file(const char *path, size_t most, char **ret, size_t *ret_len,
                              uid_t *ret_owner, struct hf_error *err)
{
        hf_cleanup_fd int dir = -1, fd = -1;
        hf_cleanup_free char *text = NULL;
        const char *name = NULL;
        struct stat st;
        uid_t dir_owner = 0;
        int r = open_in(path, &dir, &name, &dir_owner, err);

        if (r < 0)
                return r;
        /* Not to wait for the other end of what is a FIFO, and not to get a terminal. */
        fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
        if (fd < 0 && errno == ELOOP)
                return refuse(err, path, "it is a symbolic link");
        if (fd < 0 || fstat(fd, &st) < 0)
                return hf_error_sys(err, errno, "cannot open %s", path);
        r = check_file(&st, most, dir_owner, path, err);
        if (r < 0)
                return r;
        text = malloc((size_t)st.st_size + 1);
        r = text ? read_all(fd, text, (size_t)st.st_size, ret_len) : -ENOMEM;
        if (r < 0)
                return hf_error_sys(err, -r, "cannot read %s", path);
        *ret_owner = st.st_uid;
        *ret = hf_steal_ptr(text);
        return 0;
}
