/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "storage/mounts.h"

#include "base/cleanup.h"
#include "storage/kernel-text.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <sys/sysmacros.h>

/*
 * The types of which it is known.
 *
 * On ext and tmpfs a close does nothing that a freeze holds up. On other disks it
 * may give back space reserved behind the end of the file, or write out a file
 * that was cut to nothing, which a freeze does hold up. An overlay is not among them:
 * opening a file of a lower layer for writing copies all of it, and the layers may be
 * anywhere. What is in /dev are devices, also where a container has a tmpfs there:
 * opening one may wait for the hardware.
 */
static const struct kind {
        const char *type;
        bool local, closes;
} kinds[] = {
        {"ext4", true, true},   {"ext3", true, true},  {"ext2", true, true},
        {"tmpfs", true, true},  {"ramfs", true, true}, {"xfs", true, false},
        {"btrfs", true, false}, {"f2fs", true, false}, {"bcachefs", true, false},
        {"proc", false, true},
};

/* Directories whose mount is remembered; a power of two. */
#define REMEMBERED 64

struct remembered {
        uint32_t mount; /* index + 1; 0: none */
        char dir[124];  /* longer ones are looked up each time */
};

struct hf_mounts {
        int fd;
        bool changed;
        char *text; /* of the list; the mounts' strings lie in it */
        size_t n;
        struct hf_mount *mounts;
        size_t *point_len;
        struct remembered remembered[REMEMBERED];
};

#define LIST "/proc/self/mountinfo"

/* A line reads "ID PARENT MAJOR:MINOR ROOT POINT OPTIONS [FIELDS...] - TYPE SOURCE OPTIONS". */
static bool parse_line(char *line, struct hf_mount *ret)
{
        char *end = strstr(line, " - "), *last = strrchr(line, ' '), *at, *save = NULL;
        char *fields[6];
        unsigned int major_number, minor_number;

        if (!end)
                return false;
        *end = '\0';
        for (size_t i = 0; i < HF_ARRAY_LEN(fields); i++) {
                fields[i] = strtok_r(i ? NULL : line, " ", &save);
                if (!fields[i])
                        return false;
        }
        at = strtok_r(end + 3, " ", &save);
        if (!at || sscanf(fields[2], "%u:%u", &major_number, &minor_number) != 2)
                return false;
        hf_kernel_text_unescape(fields[4]);
        *ret = (struct hf_mount){.dev = makedev(major_number, minor_number),
                                 .point = fields[4],
                                 .type = at,
                                 .options = fields[5],
                                 .super_options = last + 1};
        for (size_t i = 0; i < HF_ARRAY_LEN(kinds); i++)
                if (!strcmp(kinds[i].type, at)) {
                        ret->local = kinds[i].local && strcmp(ret->point, "/dev") != 0;
                        ret->closes = kinds[i].closes;
                }
        return true;
}

static void forget(struct hf_mounts *mounts)
{
        free(mounts->mounts);
        free(mounts->point_len);
        free(mounts->text);
        mounts->mounts = NULL;
        mounts->point_len = NULL;
        mounts->text = NULL;
        mounts->n = 0;
        memset(mounts->remembered, 0, sizeof(mounts->remembered));
}

/* What cannot be read is empty: no path is known to be local then. */
static int read_mounts(struct hf_mounts *mounts)
{
        size_t lines = 0;
        char *save = NULL;

        forget(mounts);
        mounts->changed = false;
        mounts->text = lseek(mounts->fd, 0, SEEK_SET) < 0 ? NULL : hf_kernel_text(mounts->fd);
        if (!mounts->text)
                return -ENOMEM;
        for (const char *at = mounts->text; (at = strchr(at, '\n')); at++)
                lines++;
        mounts->mounts = calloc(lines + 1, sizeof(*mounts->mounts));
        mounts->point_len = calloc(lines + 1, sizeof(*mounts->point_len));
        if (!mounts->mounts || !mounts->point_len)
                return -ENOMEM;
        for (char *line = strtok_r(mounts->text, "\n", &save); line && mounts->n < lines;
             line = strtok_r(NULL, "\n", &save)) {
                if (!parse_line(line, &mounts->mounts[mounts->n]))
                        continue;
                mounts->point_len[mounts->n] = strlen(mounts->mounts[mounts->n].point);
                mounts->n++;
        }
        return 0;
}

int hf_mounts_new(struct hf_mounts **ret)
{
        return hf_mounts_new_from(LIST, ret);
}

int hf_mounts_new_from(const char *list, struct hf_mounts **ret)
{
        struct hf_mounts *mounts = calloc(1, sizeof(*mounts));
        int r;

        if (!mounts)
                return -ENOMEM;
        mounts->fd = open(list, O_RDONLY | O_CLOEXEC);
        r = mounts->fd < 0 ? -errno : read_mounts(mounts);
        if (r < 0) {
                (void)hf_mounts_free(mounts);
                return r;
        }
        *ret = mounts;
        return 0;
}

struct hf_mounts *hf_mounts_free(struct hf_mounts *mounts)
{
        if (!mounts)
                return NULL;
        forget(mounts);
        hf_close_fd(&mounts->fd);
        free(mounts);
        return NULL;
}

int hf_mounts_fd(const struct hf_mounts *mounts)
{
        return mounts->fd;
}

void hf_mounts_changed(struct hf_mounts *mounts)
{
        mounts->changed = true;
}

/* The text says where it leads. */
static bool is_plain(const char *path)
{
        if (path[0] != '/')
                return false;
        for (const char *at = path; at; at = strchr(at + 1, '/')) {
                size_t len = strcspn(at + 1, "/");

                if ((len == 0 && at[1]) || (len == 1 && at[1] == '.') ||
                    (len == 2 && at[1] == '.' && at[2] == '.'))
                        return false;
        }
        return true;
}

/* The mount with the longest point that leads to the path; of several at one point the last one. */
static uint32_t find_mount(const struct hf_mounts *mounts, const char *path)
{
        size_t longest = 0;
        uint32_t found = 0;

        for (size_t i = 0; i < mounts->n; i++) {
                size_t len = mounts->point_len[i];

                if (len < longest || strncmp(mounts->mounts[i].point, path, len) != 0)
                        continue;
                if (len > 1 && path[len] != '/' && path[len])
                        continue;
                longest = len;
                found = (uint32_t)i + 1;
        }
        return found;
}

/* By the directory, since nothing but a directory has mounts below it; a file may be one itself. */
static uint32_t find_by_directory(struct hf_mounts *mounts, const char *path)
{
        const char *slash = strrchr(path, '/');
        size_t len = slash ? (size_t)(slash - path) : 0;
        struct remembered *slot;
        uint32_t hash = 2166136261U;

        if (len == 0 || len >= sizeof(slot->dir))
                return find_mount(mounts, path);
        for (size_t i = 0; i < len; i++)
                hash = (hash ^ (unsigned char)path[i]) * 16777619U;
        slot = &mounts->remembered[hash % REMEMBERED];
        if (!slot->mount || strncmp(slot->dir, path, len) != 0 || slot->dir[len]) {
                memcpy(slot->dir, path, len);
                slot->dir[len] = '\0';
                slot->mount = find_mount(mounts, slot->dir);
        }
        return slot->mount;
}

/* Whether anything is mounted on files, as containers have it. */
static bool is_mount_point(const struct hf_mounts *mounts, const char *path)
{
        size_t path_len = strlen(path);

        for (size_t i = 0; i < mounts->n; i++)
                if (mounts->point_len[i] == path_len && !strcmp(mounts->mounts[i].point, path))
                        return true;
        return false;
}

const struct hf_mount *hf_mounts_of_path(struct hf_mounts *mounts, const char *path)
{
        uint32_t found;

        if (mounts->changed)
                (void)read_mounts(mounts);
        if (!is_plain(path))
                return NULL;
        found = is_mount_point(mounts, path) ? find_mount(mounts, path)
                                             : find_by_directory(mounts, path);
        return found ? &mounts->mounts[found - 1] : NULL;
}

static const struct hf_mount *find_dev(struct hf_mounts *mounts, uint64_t dev)
{
        if (mounts->changed)
                (void)read_mounts(mounts);
        for (size_t i = 0; i < mounts->n; i++)
                if (mounts->mounts[i].dev == dev)
                        return &mounts->mounts[i];
        return NULL;
}

/*
 * To open a file may have mounted what it is on (automounter, nested exports), of which
 * nobody has told yet. Who asks the kernel for a change has been told of it.
 */
static bool has_changed(const struct hf_mounts *mounts)
{
        struct pollfd poller = {.fd = mounts->fd, .events = POLLPRI};

        return poll(&poller, 1, 0) > 0 && (poller.revents & POLLPRI);
}

const struct hf_mount *hf_mounts_of_dev(struct hf_mounts *mounts, uint64_t dev)
{
        const struct hf_mount *found = find_dev(mounts, dev);

        if (found || !has_changed(mounts))
                return found;
        mounts->changed = true;
        return find_dev(mounts, dev);
}
