/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "client/metadata.h"

#include "base/cleanup.h"

#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

/* /proc/self/fd/ and a number. */
#define LINK_MAX_LEN 40

static int cannot(const char *what, const char *name, struct holdfast_error *err)
{
        int code = errno == EACCES || errno == EPERM ? HOLDFAST_E_DENIED : HOLDFAST_E_SYSTEM;

        return hf_fail(err, errno, code, "cannot %s %s to lock its metadata: %m", what, name);
}

/* Opens what a descriptor of the caller is, once more and as a mere place. */
static int open_again(int fd, int *ret, struct holdfast_error *err)
{
        char link[LINK_MAX_LEN];
        int flags = fcntl(fd, F_GETFL);

        (void)snprintf(link, sizeof(link), "descriptor %d", fd);
        if (flags < 0)
                return cannot("use", link, err);
        if (flags & O_PATH) {
                *ret = fcntl(fd, F_DUPFD_CLOEXEC, 0);
        } else {
                (void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
                *ret = open(link, O_PATH | O_CLOEXEC);
        }
        return *ret < 0 ? cannot("open", link, err) : 0;
}

static int open_target(const struct holdfast_metadata_target *target, int *ret,
                       struct holdfast_error *err)
{
        if (!target->path)
                return open_again(target->fd, ret, err);
        *ret = open(target->path, O_PATH | O_CLOEXEC);
        return *ret < 0 ? cannot("find", target->path[0] ? target->path : "\"\"", err) : 0;
}

/* Numbers as stat gives them. */
static int identify(int dirfd, const char *path, uint64_t *ret_dev, uint64_t *ret_ino)
{
        int flags = AT_NO_AUTOMOUNT | (path[0] ? 0 : AT_EMPTY_PATH);
        struct statx st;

        if (statx(dirfd, path, flags, STATX_INO, &st) < 0)
                return -errno;
        *ret_dev = makedev(st.stx_dev_major, st.stx_dev_minor);
        *ret_ino = st.stx_ino;
        return 0;
}

/* What people know the file as. NULL: out of memory. */
static char *name_of(const struct holdfast_metadata_target *target, int fd)
{
        char link[LINK_MAX_LEN], path[PATH_MAX];
        ssize_t len;

        if (target->path && target->path[0] == '/')
                return strdup(target->path);
        (void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
        len = readlink(link, path, sizeof(path) - 1);
        if (len < 0)
                return strdup(target->path ? target->path : "");
        path[len] = '\0';
        return strdup(path);
}

static int add_file(const struct holdfast_metadata_target *target, struct hf_metadata_files *files,
                    size_t *ret, struct holdfast_error *err)
{
        struct hf_metadata_file file = {.fd = -1};
        hf_cleanup_fd int fd = -1;
        int r = open_target(target, &fd, err);

        if (r < 0)
                return r;
        if (identify(fd, "", &file.dev, &file.ino) < 0)
                return cannot("look at", target->path ? target->path : "a descriptor", err);
        for (size_t i = 0; i < files->n; i++)
                if (files->files[i].dev == file.dev && files->files[i].ino == file.ino) {
                        *ret = i;
                        return 0;
                }
        if (files->n == HOLDFAST_METADATA_MAX)
                return hf_fail(err, E2BIG, HOLDFAST_E_INVALID,
                               "the metadata of more than %d files cannot be locked at once",
                               HOLDFAST_METADATA_MAX);
        file.name = name_of(target, fd);
        if (!file.name)
                return hf_fail_no_memory(err);
        file.fd = hf_steal_fd(&fd);
        *ret = files->n;
        files->files[files->n++] = file;
        return 0;
}

int hf_metadata_files_open(const struct holdfast_metadata_target *targets, size_t n,
                           struct hf_metadata_files *files, struct holdfast_error *err)
{
        size_t room = n < HOLDFAST_METADATA_MAX ? n : HOLDFAST_METADATA_MAX;
        int r = 0;

        files->files = calloc(room ? room : 1, sizeof(*files->files));
        files->of_target = calloc(n ? n : 1, sizeof(*files->of_target));
        if (!files->files || !files->of_target)
                return hf_fail_no_memory(err);
        for (size_t i = 0; i < n && r >= 0; i++)
                r = add_file(&targets[i], files, &files->of_target[i], err);
        return r;
}

int hf_metadata_files_check(const struct holdfast_metadata_target *targets, size_t n,
                            const struct hf_metadata_files *files, struct holdfast_error *err)
{
        for (size_t i = 0; i < n; i++) {
                const struct hf_metadata_file *file = &files->files[files->of_target[i]];
                uint64_t dev, ino;

                if (!targets[i].path)
                        continue;
                if (identify(AT_FDCWD, targets[i].path, &dev, &ino) < 0 || dev != file->dev ||
                    ino != file->ino)
                        return hf_fail(err, ESTALE, HOLDFAST_E_SYSTEM,
                                       "%s leads elsewhere now than when the lock on its metadata "
                                       "was asked for; nothing is locked",
                                       targets[i].path);
        }
        return 0;
}

void hf_metadata_files_clear(struct hf_metadata_files *files)
{
        for (size_t i = 0; i < files->n; i++) {
                hf_close_fd(&files->files[i].fd);
                free(files->files[i].name);
        }
        free(files->files);
        free(files->of_target);
        *files = (struct hf_metadata_files){0};
}
