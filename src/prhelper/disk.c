/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "prhelper/disk.h"

#include "base/cleanup.h"

#include <dirent.h>
#include <limits.h>
#include <string.h>
#include <sys/sysmacros.h>

/* Most devices of a stack that are looked at for one command. */
#define STACK_MAX 128

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

/* ngXnY is nvmeXnY; of other disks the generic node has a number of its own. */
static bool may_be_generic_of(const char *generic, const char *block)
{
        const char *a = strrchr(generic, '/') + 1, *b = strrchr(block, '/') + 1;

        return strncmp(b, "nvme", 4) != 0 || (!strncmp(a, "ng", 2) && !strcmp(a + 2, b + 4));
}

/*
 * A SCSI device has one disk and one generic node or two. An NVMe controller, though, is the device
 * of all its namespaces, and a card that of all its parts.
 */
static bool have_one_device(const struct stat *a, const char *a_disk, const struct stat *b,
                            const char *b_disk)
{
        char a_device[PATH_MAX], b_device[PATH_MAX];

        if (!folder(a_disk, "device", a_device) || !folder(b_disk, "device", b_device) ||
            strcmp(a_device, b_device) != 0)
                return false;
        if (S_ISBLK(a->st_mode))
                return !S_ISBLK(b->st_mode) && may_be_generic_of(b_disk, a_disk);
        if (S_ISBLK(b->st_mode))
                return may_be_generic_of(a_disk, b_disk);
        return strncmp(strrchr(a_disk, '/'), "/ng", 3) != 0;
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
        return is_device(a) && is_device(b) && disk_folder(sysfs, a, a_disk) &&
               disk_folder(sysfs, b, b_disk) &&
               (!strcmp(a_disk, b_disk) || have_one_device(a, a_disk, b, b_disk));
}

bool hf_pr_is_partition(const char *sysfs, const struct stat *st)
{
        char path[PATH_MAX];

        (void)snprintf(path, sizeof(path), "%s/dev/block/%u:%u/partition", sysfs,
                       major(st->st_rdev), minor(st->st_rdev));
        return S_ISBLK(st->st_mode) && access(path, F_OK) == 0;
}

/* One of those in the folder slaves of a disk. */
static bool read_slave(const char *slaves, const char *name, struct stat *ret)
{
        hf_cleanup_free char *path = NULL;
        hf_cleanup_file FILE *file = NULL;
        unsigned int number_major, number_minor;

        if (asprintf(&path, "%s/%s/dev", slaves, name) < 0) {
                path = NULL;
                return false;
        }
        file = fopen(path, "re");
        if (!file || fscanf(file, "%u:%u", &number_major, &number_minor) != 2)
                return false;
        *ret = (struct stat){.st_mode = S_IFBLK, .st_rdev = makedev(number_major, number_minor)};
        return true;
}

static bool stands_on(const char *sysfs, const struct stat *device, const struct stat *below,
                      unsigned int *left)
{
        char disk[PATH_MAX], slaves[PATH_MAX];
        hf_cleanup_dir DIR *dir = NULL;
        const struct dirent *entry;
        struct stat slave;

        if (hf_pr_same_disk(sysfs, device, below) || (*left)-- == 0)
                return true;
        if (!S_ISBLK(device->st_mode) || !disk_folder(sysfs, device, disk) ||
            !folder(disk, "slaves", slaves))
                return false;
        dir = opendir(slaves);
        if (!dir)
                return true;
        while ((entry = readdir(dir)))
                if (entry->d_name[0] != '.' && (!read_slave(slaves, entry->d_name, &slave) ||
                                                stands_on(sysfs, &slave, below, left)))
                        return true;
        return false;
}

bool hf_pr_stands_on(const char *sysfs, const struct stat *device, const struct stat *below)
{
        unsigned int left = STACK_MAX;

        return stands_on(sysfs, device, below, &left);
}
