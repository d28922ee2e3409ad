/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/console-log-file.h"

#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

/* More backups than a daemon may be told to keep. */
#define FILES_MAX 1001

#define BLOCK     65536

static void name_of(const char *base, size_t i, const char *end, char ret[NAME_MAX + 1])
{
        if (i == 0)
                (void)snprintf(ret, NAME_MAX + 1, "%s.log%s", base, end);
        else
                (void)snprintf(ret, NAME_MAX + 1, "%s.log.%zu%s", base, i, end);
}

static int open_regular(int dir_fd, const char *name, struct stat *ret)
{
        hf_cleanup_fd int fd = openat(dir_fd, name,
                                      O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);

        if (fd < 0 || fstat(fd, ret) < 0)
                return -errno;
        return S_ISREG(ret->st_mode) ? hf_steal_fd(&fd) : -EINVAL;
}

static void open_times(int dir_fd, const char *base, size_t i, struct hf_log_file *file)
{
        char name[NAME_MAX + 1];
        struct stat st;
        int fd;

        name_of(base, i, ".times", name);
        fd = open_regular(dir_fd, name, &st);
        if (fd < 0)
                return;
        file->times = fdopen(fd, "r");
        if (!file->times)
                hf_close_fd(&fd);
        /* If the log was moved away meanwhile, these times may be those of the next one. */
        name_of(base, i, "", name);
        if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_ino == file->ino)
                return;
        hf_close_file(&file->times);
}

static void close_file(struct hf_log_file *file)
{
        hf_close_fd(&file->fd);
        hf_close_file(&file->times);
}

/* The i-th backup. 1; 0: it was opened by its former name; -ENOENT. */
static int add_file(int dir_fd, const char *base, size_t i, struct hf_log_files *files)
{
        struct hf_log_file file = {.fd = -1, .next_offset = 0};
        const struct hf_log_file *last = files->n > 0 ? &files->files[files->n - 1] : NULL;
        char name[NAME_MAX + 1];
        struct stat st;
        void *more;

        name_of(base, i, "", name);
        file.fd = open_regular(dir_fd, name, &st);
        if (file.fd < 0)
                return file.fd;
        file.dev = st.st_dev;
        file.ino = st.st_ino;
        file.size = (uint64_t)st.st_size;
        if (last && last->dev == file.dev && last->ino == file.ino) {
                close_file(&file);
                return 0;
        }
        open_times(dir_fd, base, i, &file);
        more = reallocarray(files->files, files->n + 1, sizeof(file));
        if (!more) {
                close_file(&file);
                return -ENOMEM;
        }
        files->files = more;
        files->files[files->n++] = file;
        return 1;
}

int hf_log_files_open(int dir_fd, const char *base, struct hf_log_files *ret)
{
        struct hf_log_files files = {0};
        int r = 0;

        /* From the newest on: one that is rotated meanwhile is met again, and none is missed. */
        for (size_t i = 0; i < FILES_MAX; i++) {
                r = add_file(dir_fd, base, i, &files);
                if (r < 0 && (i > 0 || r != -ENOENT))
                        break;
        }
        if (files.n == 0 || r == -ENOMEM) {
                hf_log_files_clear(&files);
                return r;
        }
        *ret = files;
        return 0;
}

void hf_log_files_clear(struct hf_log_files *files)
{
        for (size_t i = 0; i < files->n; i++)
                close_file(&files->files[i]);
        free(files->files);
        *files = (struct hf_log_files){0};
}

/* The newlines that are yet to be passed, and whether the last byte of all was passed. */
struct count {
        uint64_t left;
        bool begun;
};

/* Looks backwards through a block that begins at `from`. 1: *ret is where the lines begin. */
static int look_through(const char *block, size_t len, uint64_t from, struct count *count,
                        uint64_t *ret)
{
        const char *newline;

        /* What ends the last line begins none. */
        if (!count->begun && len > 0 && block[len - 1] == '\n')
                len--;
        count->begun = true;
        while ((newline = memrchr(block, '\n', len))) {
                len = (size_t)(newline - block);
                if (--count->left == 0) {
                        *ret = from + len + 1;
                        return 1;
                }
        }
        return 0;
}

static int look_through_file(const struct hf_log_file *file, char *block, struct count *count,
                             uint64_t *ret)
{
        uint64_t end = file->size;

        while (end > 0) {
                size_t len = end < BLOCK ? end : BLOCK;
                ssize_t n = pread(file->fd, block, len, (off_t)(end - len));

                if (n < 0)
                        return -errno;
                end -= len;
                if (look_through(block, (size_t)n, end, count, ret))
                        return 1;
        }
        return 0;
}

int hf_log_files_lines(const struct hf_log_files *files, uint64_t n, size_t *ret_file,
                       uint64_t *ret_offset)
{
        hf_cleanup_free char *block = malloc(BLOCK);
        struct count count = {.left = n};

        if (!block)
                return -ENOMEM;
        *ret_file = 0;
        *ret_offset = files->files[0].size;
        for (size_t i = 0; n > 0 && i < files->n; i++) {
                int r;

                *ret_file = i;
                *ret_offset = 0;
                r = look_through_file(&files->files[i], block, &count, ret_offset);
                if (r != 0)
                        return r < 0 ? r : 0;
        }
        return 0;
}

/* The next mark; at the end, one beyond all offsets. */
static void read_mark(struct hf_log_file *file)
{
        char line[256];

        while (fgets(line, sizeof(line), file->times)) {
                unsigned long long offset, usec;
                char end;

                if (*line >= '0' && *line <= '9' &&
                    sscanf(line, "%llu %llu%c", &offset, &usec, &end) == 3 && end == '\n') {
                        file->next_offset = offset;
                        file->next_usec = usec;
                        return;
                }
        }
        hf_close_file(&file->times);
}

uint64_t hf_log_file_time(struct hf_log_file *file, uint64_t offset)
{
        while (file->times && file->next_offset <= offset) {
                file->usec = file->next_usec;
                read_mark(file);
        }
        return file->usec;
}
