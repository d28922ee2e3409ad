/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "prhelper/choose.h"

#include "prhelper/disk.h"

#include "base/cleanup.h"

#include <limits.h>
#include <linux/nvme_ioctl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>

/*
 * The settings' unit that this is, or NULL. A disk that is named is all of it, unless a partition
 * of it has a name of its own. A partition that is named is just that: its neighbour has other
 * data, and would else be told of reservations that are not its own. A file is looked for among
 * files alone: who has a disk is not to wait for the file server with the images of others.
 */
static const char *find_unit(const struct hf_pr_settings *settings, const char *sysfs,
                             const struct stat *st)
{
        bool device = S_ISBLK(st->st_mode) || S_ISCHR(st->st_mode);
        const char *disk = NULL;

        for (size_t i = 0; i < settings->n_units; i++) {
                const struct hf_pr_unit *unit = &settings->units[i];
                struct stat named;

                if ((device && unit->file) || stat(unit->path, &named) < 0)
                        continue;
                if (hf_pr_same_node(&named, st))
                        return unit->name;
                if (!disk && !hf_pr_is_partition(sysfs, &named) &&
                    hf_pr_same_disk(sysfs, &named, st))
                        disk = unit->name;
        }
        return disk;
}

static bool is_mapped(const char *sysfs, const struct stat *st)
{
        char path[PATH_MAX];

        (void)snprintf(path, sizeof(path), "%s/dev/block/%u:%u/dm", sysfs, major(st->st_rdev),
                       minor(st->st_rdev));
        return S_ISBLK(st->st_mode) && access(path, F_OK) == 0;
}

/* The character node of a namespace: the driver's number is another on each host. */
static bool is_nvme_generic(const char *sysfs, const struct stat *st)
{
        char path[PATH_MAX], target[PATH_MAX];
        const char *name;
        ssize_t n;

        (void)snprintf(path, sizeof(path), "%s/dev/char/%u:%u/subsystem", sysfs, major(st->st_rdev),
                       minor(st->st_rdev));
        n = readlink(path, target, sizeof(target) - 1);
        if (n < 0)
                return false;
        target[n] = '\0';
        name = strrchr(target, '/');
        return name && !strcmp(name, "/nvme-generic");
}

static bool is_nvme(const char *sysfs, int fd, const struct stat *st)
{
        if (S_ISCHR(st->st_mode))
                return is_nvme_generic(sysfs, st);
        /* Asked of disks alone: elsewhere the number may mean another thing. */
        return S_ISBLK(st->st_mode) && ioctl(fd, NVME_IOCTL_ID) > 0;
}

void hf_pr_choose(const struct hf_pr_settings *settings, const char *sysfs, int fd,
                  const struct stat *st, struct hf_pr_choice *ret)
{
        *ret = (struct hf_pr_choice){.unit = find_unit(settings, sysfs, st)};
        if (ret->unit)
                ret->backend = HF_PR_BACKEND_EMULATED;
        else if (is_mapped(sysfs, st))
                ret->backend = HF_PR_BACKEND_MPATH;
        else if (is_nvme(sysfs, fd, st))
                ret->backend = HF_PR_BACKEND_NVME;
        else
                ret->backend = HF_PR_BACKEND_SGIO;
}
