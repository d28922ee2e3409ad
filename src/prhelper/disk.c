/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "prhelper/disk.h"

#include "base/cleanup.h"

#include <limits.h>
#include <string.h>
#include <sys/sysmacros.h>

static bool is_device(const struct stat *st)
{
        return S_ISBLK(st->st_mode) || S_ISCHR(st->st_mode);
}

/* The folder of sysfs at dir/more, without links in its name. */
static bool folder(const char *dir, const char *more, char ret[static PATH_MAX])
{
        hf_cleanup_free char *path = NULL;

        if (asprintf(&path, "%s/%s", dir, more) < 0) {
                path = NULL;
                return false;
        }
        return realpath(path, ret) != NULL;
}

/* A partition has its disk's folder above its own, and none of a device's. */
static bool device_folder(const char *sysfs, const struct stat *st, char ret[static PATH_MAX])
{
        char node[PATH_MAX], number[64];

        (void)snprintf(number, sizeof(number), "dev/%s/%u:%u",
                       S_ISBLK(st->st_mode) ? "block" : "char", major(st->st_rdev),
                       minor(st->st_rdev));
        if (!folder(sysfs, number, node))
                return false;
        if (folder(node, "partition", ret))
                return folder(node, "../device", ret);
        return folder(node, "device", ret);
}

bool hf_pr_same_disk(const char *sysfs, const struct stat *a, const struct stat *b)
{
        char a_folder[PATH_MAX], b_folder[PATH_MAX];

        if (!is_device(a) || !is_device(b))
                return !is_device(a) && !is_device(b) && a->st_dev == b->st_dev &&
                       a->st_ino == b->st_ino;
        if ((a->st_mode & S_IFMT) == (b->st_mode & S_IFMT) && a->st_rdev == b->st_rdev)
                return true;
        return device_folder(sysfs, a, a_folder) && device_folder(sysfs, b, b_folder) &&
               !strcmp(a_folder, b_folder);
}
