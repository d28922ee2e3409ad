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

/* The folder of the disk whose node it is: a partition has it above its own. */
static bool disk_folder(const char *sysfs, const struct stat *st, char ret[static PATH_MAX])
{
        char node[PATH_MAX], number[64];

        (void)snprintf(number, sizeof(number), "dev/%s/%u:%u",
                       S_ISBLK(st->st_mode) ? "block" : "char", major(st->st_rdev),
                       minor(st->st_rdev));
        if (!folder(sysfs, number, node))
                return false;
        return folder(node, folder(node, "partition", ret) ? ".." : ".", ret);
}

/* What nvme0n1 and ng0n1 have in common: their device is the controller, of all namespaces. */
static const char *namespace_of(const char *disk)
{
        const char *name = strrchr(disk, '/') + 1;

        if (!strncmp(name, "nvme", 4))
                return name + 4;
        return strncmp(name, "ng", 2) ? "" : name + 2;
}

static bool one_device(const char *a, const char *b)
{
        char a_folder[PATH_MAX], b_folder[PATH_MAX];

        return !strcmp(namespace_of(a), namespace_of(b)) && folder(a, "device", a_folder) &&
               folder(b, "device", b_folder) && !strcmp(a_folder, b_folder);
}

bool hf_pr_same_node(const struct stat *a, const struct stat *b)
{
        if (is_device(a) || is_device(b))
                return (a->st_mode & S_IFMT) == (b->st_mode & S_IFMT) && a->st_rdev == b->st_rdev;
        return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

bool hf_pr_same_disk(const char *sysfs, const struct stat *a, const struct stat *b)
{
        char a_disk[PATH_MAX], b_disk[PATH_MAX];

        if (hf_pr_same_node(a, b))
                return true;
        if (!is_device(a) || !is_device(b) || !disk_folder(sysfs, a, a_disk) ||
            !disk_folder(sysfs, b, b_disk))
                return false;
        if (S_ISBLK(a->st_mode) && S_ISBLK(b->st_mode))
                return !strcmp(a_disk, b_disk);
        return one_device(a_disk, b_disk);
}

bool hf_pr_is_partition(const char *sysfs, const struct stat *st)
{
        char path[PATH_MAX];

        (void)snprintf(path, sizeof(path), "%s/dev/block/%u:%u/partition", sysfs,
                       major(st->st_rdev), minor(st->st_rdev));
        return S_ISBLK(st->st_mode) && access(path, F_OK) == 0;
}
