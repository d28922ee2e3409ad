/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "console/transcript-rotate.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

void hf_rotate_name(const char *base, enum hf_rotate_kind kind, uint32_t i, char ret[NAME_MAX + 1])
{
        static const char *const ends[] = {[HF_ROTATE_LOG] = "",
                                           [HF_ROTATE_TIMES] = ".times",
                                           [HF_ROTATE_NEXT] = ".times.new"};

        if (i == 0)
                (void)snprintf(ret, NAME_MAX + 1, "%s.log%s", base, ends[kind]);
        else
                (void)snprintf(ret, NAME_MAX + 1, "%s.log.%u%s", base, i, ends[kind]);
}

int hf_rotate_exists(int dir_fd, const char *base, enum hf_rotate_kind kind, uint32_t i)
{
        char name[NAME_MAX + 1];
        struct stat st;

        hf_rotate_name(base, kind, i, name);
        if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0)
                return 1;
        return errno == ENOENT ? 0 : -errno;
}

/* 1: moved; 0: there was nothing. */
static int move_up(int dir_fd, const char *base, enum hf_rotate_kind kind, uint32_t to)
{
        char old_name[NAME_MAX + 1], new_name[NAME_MAX + 1];

        hf_rotate_name(base, kind, to - 1, old_name);
        hf_rotate_name(base, kind, to, new_name);
        if (renameat(dir_fd, old_name, dir_fd, new_name) == 0)
                return 1;
        return errno == ENOENT ? 0 : -errno;
}

/* 1: removed; 0: there was nothing. */
static int drop(int dir_fd, const char *base, enum hf_rotate_kind kind, uint32_t i)
{
        char name[NAME_MAX + 1];

        hf_rotate_name(base, kind, i, name);
        if (unlinkat(dir_fd, name, 0) == 0)
                return 1;
        return errno == ENOENT ? 0 : -errno;
}

/* Those of a time when more were kept. */
static int drop_from(int dir_fd, const char *base, uint32_t i)
{
        int r;

        do {
                r = drop(dir_fd, base, HF_ROTATE_LOG, i);
                if (r >= 0 && drop(dir_fd, base, HF_ROTATE_TIMES, i) < 0)
                        return -errno;
        } while (r > 0 && i++ < UINT32_MAX - 1);
        return r;
}

int hf_rotate_shift(int dir_fd, const char *base, uint32_t max_backups)
{
        uint32_t to = 1;
        int r;

        if (max_backups == 0)
                return drop_from(dir_fd, base, 0);
        r = drop_from(dir_fd, base, max_backups + 1);
        if (r < 0)
                return r;
        /* Up to the first place that is free, or over the oldest. */
        while (to < max_backups && (r = hf_rotate_exists(dir_fd, base, HF_ROTATE_LOG, to)) > 0)
                to++;
        for (; r >= 0 && to > 0; to--) {
                r = move_up(dir_fd, base, HF_ROTATE_LOG, to);
                if (r < 0)
                        break;
                r = move_up(dir_fd, base, HF_ROTATE_TIMES, to);
                if (r == 0)
                        r = drop(dir_fd, base, HF_ROTATE_TIMES, to);
        }
        return r < 0 ? r : 0;
}

int hf_rotate_mend(int dir_fd, const char *base, uint32_t max_backups)
{
        int r = 0;

        for (uint32_t i = 0; r >= 0 && i <= max_backups; i++) {
                r = hf_rotate_exists(dir_fd, base, HF_ROTATE_LOG, i);
                if (r != 0)
                        continue;
                r = i < max_backups ? move_up(dir_fd, base, HF_ROTATE_TIMES, i + 1)
                                    : drop(dir_fd, base, HF_ROTATE_TIMES, i);
                /* Only one has been under way. */
                if (r > 0)
                        break;
        }
        return r < 0 ? r : 0;
}
