/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Where a log goes on.
 *
 * .times says at which offset which position stands, and from there on every byte of the log is a
 * byte of the guest's; so the log's size says the position, and a write that a SIGKILL or a full
 * disk cut short has written as much as the size says. Only our own line about missing bytes is
 * not the guest's: .times names its place before it is written, and where the log ends within that
 * place it is written again.
 *
 * What .times says is not believed where it does not fit: somebody has cut the log, or removed
 * .times. While this process lives it knows the position by itself; else the log goes on as one of
 * which nothing is known. Either way a new origin says what comes.
 */

#include "console/transcript-file.h"

#include "base/cleanup.h"
#include "base/path.h"
#include "console/transcript-rotate.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* The end of .times that is looked at, and how often an origin comes: twice in that at least. */
#define TAIL_SIZE    65536
#define ORIGIN_EVERY 16384

/* Marks: where a line begins, at most every 10 ms; and within a line every second. */
#define MARK_LINE_USEC 10000
#define MARK_USEC      1000000

/* .times of a guest that prints little and often may be larger than its log, but has an end too. */
#define TIMES_SIZE_MIN 65536

#define LOOK_USEC      1000000

/* The directory DIR/VM, which is the user's alone: a guest may print secrets. */
#define DIR_MODE  0700
#define FILE_MODE 0600

int hf_transcript_file_init(struct hf_transcript_file *file, const char *name, uint64_t run,
                            const struct hf_transcript_settings *settings)
{
        const char *slash = strchr(name, '/');

        *file = (struct hf_transcript_file){
                .settings = settings, .run = run, .dir_fd = -1, .log_fd = -1, .times_fd = -1};
        if (!slash || slash == name || !slash[1] || strchr(slash + 1, '/') || *name == '.')
                return -EINVAL;
        if (strlen(name) >= sizeof(file->name) ||
            (size_t)snprintf(file->path, sizeof(file->path), "%s/%s.log", settings->dir, name) >=
                    sizeof(file->path))
                return -ENAMETOOLONG;
        memcpy(file->name, name, strlen(name) + 1);
        file->base = file->name + (slash + 1 - name);
        return 0;
}

void hf_transcript_file_close(struct hf_transcript_file *file)
{
        hf_close_fd(&file->times_fd);
        hf_close_fd(&file->log_fd);
        hf_close_fd(&file->dir_fd);
}

static int fail(struct hf_transcript_file *file, int r)
{
        hf_transcript_file_close(file);
        return r;
}

/* All of it, or a negative errno; *done bytes of it are in the file in any case. */
static int write_all(int fd, const void *bytes, size_t len, uint64_t *done)
{
        for (size_t at = 0; at < len;) {
                ssize_t n = write(fd, (const char *)bytes + at, len - at);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n <= 0)
                        return n < 0 ? -errno : -EIO;
                at += (size_t)n;
                *done += (uint64_t)n;
        }
        return 0;
}

static int add_line(struct hf_transcript_file *file, const struct hf_times_line *line)
{
        char text[HF_TIMES_LINE_MAX];
        uint64_t at = file->times_size;
        int r = write_all(file->times_fd, text, hf_times_format(line, text), &file->times_size);

        if (r >= 0 && line->kind != HF_TIMES_MARK)
                file->origin_at = at;
        return r;
}

static int add_origin(struct hf_transcript_file *file)
{
        struct hf_times_line line = {.kind = HF_TIMES_ORIGIN,
                                     .offset = file->size,
                                     .position = file->position,
                                     .run = file->run};

        return add_line(file, &line);
}

static int open_dir(struct hf_transcript_file *file)
{
        char dir[PATH_MAX];
        int r;

        memcpy(dir, file->path, sizeof(dir));
        *strrchr(dir, '/') = '\0';
        file->dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (file->dir_fd >= 0)
                return 0;
        if (errno != ENOENT)
                return -errno;
        r = hf_path_make_dirs(dir, DIR_MODE, NULL);
        if (r < 0)
                return r;
        file->dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        return file->dir_fd < 0 ? -errno : 0;
}

static int open_name(struct hf_transcript_file *file, enum hf_rotate_kind kind, int flags)
{
        char name[NAME_MAX + 1];
        struct stat st;
        hf_cleanup_fd int fd = -1;

        hf_rotate_name(file->base, kind, 0, name);
        /* Somebody's FIFO in that place is not waited for. */
        fd = openat(file->dir_fd, name,
                    O_RDWR | O_APPEND | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC | flags,
                    FILE_MODE);
        if (fd < 0 || fstat(fd, &st) < 0)
                return -errno;
        return S_ISREG(st.st_mode) ? hf_steal_fd(&fd) : -EINVAL;
}

/* Whether the next log's .times is there, whole. */
static bool next_is_whole(struct hf_transcript_file *file)
{
        hf_cleanup_fd int fd = open_name(file, HF_ROTATE_NEXT, 0);
        char text[HF_TIMES_LINE_MAX];
        struct hf_times_line origin, mark;
        size_t whole;
        ssize_t n = fd < 0 ? -1 : pread(fd, text, sizeof(text), 0);

        return n > 0 && hf_times_last(text, (size_t)n, false, &origin, &mark, &whole) &&
               whole == (size_t)n && origin.offset == 0;
}

/* Says where the next log will go on. */
static int write_next(struct hf_transcript_file *file)
{
        struct hf_times_line line = {
                .kind = HF_TIMES_ORIGIN, .position = file->position, .run = file->run};
        hf_cleanup_fd int fd = open_name(file, HF_ROTATE_NEXT, O_CREAT | O_TRUNC);
        char text[HF_TIMES_LINE_MAX];
        uint64_t done = 0;

        return fd < 0 ? fd : write_all(fd, text, hf_times_format(&line, text), &done);
}

static int use_next(struct hf_transcript_file *file)
{
        char next[NAME_MAX + 1], times[NAME_MAX + 1];

        hf_rotate_name(file->base, HF_ROTATE_NEXT, 0, next);
        hf_rotate_name(file->base, HF_ROTATE_TIMES, 0, times);
        return renameat(file->dir_fd, next, file->dir_fd, times) < 0 ? -errno : 0;
}

/* Opens the log, with its .times in place if there is to be one. */
static int open_log(struct hf_transcript_file *file)
{
        char next[NAME_MAX + 1];
        struct stat st;
        int r = hf_rotate_exists(file->dir_fd, file->base, HF_ROTATE_LOG, 0);

        if (r == 0 && !next_is_whole(file))
                r = write_next(file);
        if (r < 0)
                return r;
        file->log_fd = open_name(file, HF_ROTATE_LOG, O_CREAT);
        if (file->log_fd < 0)
                return file->log_fd;
        /* A filesystem that knows no locks is no reason to write nothing. */
        if (flock(file->log_fd, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK)
                return -EBUSY;
        if (fstat(file->log_fd, &st) < 0)
                return -errno;
        file->size = (uint64_t)st.st_size;
        r = hf_rotate_exists(file->dir_fd, file->base, HF_ROTATE_TIMES, 0);
        if (r == 0 && file->size == 0 && next_is_whole(file))
                return use_next(file);
        hf_rotate_name(file->base, HF_ROTATE_NEXT, 0, next);
        (void)unlinkat(file->dir_fd, next, 0);
        return r;
}

static bool ends_in_text(const struct hf_transcript_file *file)
{
        char last = '\n';

        return file->size > 0 && pread(file->log_fd, &last, 1, (off_t)file->size - 1) == 1 &&
               last != '\n';
}

/* Our line about missing bytes, where the log ends. */
static int write_bracket(struct hf_transcript_file *file, const struct hf_times_line *line)
{
        char text[HF_TIMES_LINE_MAX];
        size_t len = hf_times_bracket(line->count, line->usec, file->after_text, text);
        int r = write_all(file->log_fd, text, len, &file->size);

        if (r >= 0)
                file->after_text = false;
        return r;
}

/* The log ends within our own line: writes that again. */
static int mend_bracket(struct hf_transcript_file *file, const struct hf_times_line *line)
{
        if (ftruncate(file->log_fd, (off_t)line->offset) < 0)
                return -errno;
        file->size = line->offset;
        file->after_text = ends_in_text(file);
        return write_bracket(file, line);
}

/* Reads what .times says of the log's end. Returns 1 with *ret, 0 (nothing), or a negative errno.
 */
static int read_times(struct hf_transcript_file *file, struct hf_times_line *ret)
{
        hf_cleanup_free char *tail = malloc(TAIL_SIZE);
        struct hf_times_line mark;
        struct stat st;
        off_t from;
        size_t whole;
        ssize_t n;
        bool found;

        if (!tail)
                return -ENOMEM;
        if (fstat(file->times_fd, &st) < 0)
                return -errno;
        from = st.st_size > TAIL_SIZE ? st.st_size - TAIL_SIZE : 0;
        n = pread(file->times_fd, tail, TAIL_SIZE, from);
        if (n < 0)
                return -errno;
        found = hf_times_last(tail, (size_t)n, from > 0, ret, &mark, &whole);
        if (ftruncate(file->times_fd, from + (off_t)whole) < 0)
                return -errno;
        file->times_size = (uint64_t)from + whole;
        file->origin_at = file->times_size;
        file->marked = mark.usec;
        return found;
}

/* Where the log goes on, by what both files say. */
static int find_position(struct hf_transcript_file *file, uint64_t head)
{
        struct hf_times_line origin = {0};
        uint64_t position;
        int r = read_times(file, &origin);
        bool fits;

        if (r < 0)
                return r;
        fits = r > 0;
        if (fits && origin.kind == HF_TIMES_MISSING && file->size >= origin.offset &&
            file->size < origin.end)
                r = mend_bracket(file, &origin);
        if (r < 0)
                return r;
        fits = fits && file->size >= origin.end && origin.run == file->run;
        position = fits ? origin.position + (file->size - origin.end) : 0;
        /* What was cut off is in the ring still, perhaps. */
        if (!fits && origin.run == file->run && origin.position <= head)
                position = origin.position;
        if (!file->known) {
                fits = fits && position <= head;
                file->position = position <= head ? position : 0;
        }
        file->known = true;
        file->after_text = ends_in_text(file);
        return fits && position == file->position ? 0 : add_origin(file);
}

int hf_transcript_file_open(struct hf_transcript_file *file, uint64_t head)
{
        int r;

        if (file->log_fd >= 0)
                return 0;
        r = open_dir(file);
        if (r >= 0)
                r = hf_rotate_mend(file->dir_fd, file->base, file->settings->max_backups);
        if (r >= 0)
                r = open_log(file);
        if (r >= 0)
                r = file->times_fd = open_name(file, HF_ROTATE_TIMES, O_CREAT);
        if (r >= 0)
                r = find_position(file, head);
        return r < 0 ? fail(file, r) : 0;
}

/* Somebody may have moved the log, or cut it, while we write. */
static bool is_in_place(const struct hf_transcript_file *file)
{
        struct stat ours, there;

        return fstat(file->log_fd, &ours) == 0 && stat(file->path, &there) == 0 &&
               ours.st_dev == there.st_dev && ours.st_ino == there.st_ino &&
               (uint64_t)ours.st_size == file->size;
}

static int make_ready(struct hf_transcript_file *file)
{
        struct timespec now;
        uint64_t usec;

        (void)clock_gettime(CLOCK_MONOTONIC, &now);
        usec = (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
        if (file->log_fd >= 0 && usec - file->looked > LOOK_USEC && !is_in_place(file))
                hf_transcript_file_close(file);
        if (usec - file->looked > LOOK_USEC)
                file->looked = usec;
        return hf_transcript_file_open(file, UINT64_MAX);
}

/* How much of len bytes this file still takes; 0: it is full. */
static uint64_t room(const struct hf_transcript_file *file, const uint8_t *bytes, size_t len)
{
        uint64_t max = file->settings->max_size, left;
        const uint8_t *newline;

        if (max == 0 || file->size == 0)
                return max == 0 || len < max ? len : max;
        if (file->size >= max || file->times_size >= (max > TIMES_SIZE_MIN ? max : TIMES_SIZE_MIN))
                return 0;
        left = max - file->size;
        if (len <= left)
                return len;
        newline = memrchr(bytes, '\n', left);
        return newline ? (uint64_t)(newline + 1 - bytes) : file->after_text ? left : 0;
}

static int rotate(struct hf_transcript_file *file)
{
        int r = write_next(file);

        if (r >= 0)
                r = hf_rotate_shift(file->dir_fd, file->base, file->settings->max_backups);
        hf_transcript_file_close(file);
        return r < 0 ? r : hf_transcript_file_open(file, UINT64_MAX);
}

static int mark(struct hf_transcript_file *file, uint64_t usec)
{
        struct hf_times_line line = {.offset = file->size, .usec = usec};
        uint64_t since = usec - file->marked;
        int r;

        if (file->times_size - file->origin_at >= ORIGIN_EVERY) {
                r = add_origin(file);
                if (r < 0)
                        return r;
        }
        if (usec >= file->marked && since < MARK_USEC &&
            (file->after_text || since < MARK_LINE_USEC))
                return 0;
        r = add_line(file, &line);
        if (r >= 0)
                file->marked = usec;
        return r;
}

/* Into the file that is there: as much as it takes. */
static int write_piece(struct hf_transcript_file *file, const uint8_t *bytes, size_t len,
                       uint64_t usec)
{
        uint64_t before = file->size;
        int r = mark(file, usec);

        if (r < 0)
                return r;
        r = write_all(file->log_fd, bytes, len, &file->size);
        if (file->size > before)
                file->after_text = bytes[file->size - before - 1] != '\n';
        file->position += file->size - before;
        return r;
}

int hf_transcript_file_write(struct hf_transcript_file *file, const uint8_t *bytes, size_t len,
                             uint64_t usec)
{
        int r = make_ready(file);

        while (r >= 0 && len > 0) {
                uint64_t position = file->position, piece = room(file, bytes, len);

                r = piece > 0 ? write_piece(file, bytes, piece, usec) : rotate(file);
                bytes += file->position - position;
                len -= file->position - position;
        }
        return r < 0 ? fail(file, r) : 0;
}

int hf_transcript_file_gap(struct hf_transcript_file *file, uint64_t count, uint64_t usec)
{
        struct hf_times_line line = {.kind = HF_TIMES_MISSING, .count = count, .usec = usec};
        char text[HF_TIMES_LINE_MAX];
        int r = make_ready(file);

        if (r < 0)
                return r;
        line.offset = file->size;
        line.end = file->size + hf_times_bracket(count, usec, file->after_text, text);
        line.position = file->position + count;
        line.run = file->run;
        r = add_line(file, &line);
        if (r < 0)
                return fail(file, r);
        /* Noted: what is left to be done is done when the files are opened again. */
        file->position = line.position;
        r = write_bracket(file, &line);
        return r < 0 ? fail(file, r) : 0;
}
