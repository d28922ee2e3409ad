/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The name that a disk is locked by: what libvirt's own lock plugin makes of its
 * path, byte for byte, so that hosts with either agree.
 *
 * With a directory for it, the lock is on a file of that directory, which has the
 * name of the disk: for a path that begins with "/dev" the id of the logical volume,
 * or the id of the SCSI disk; for any path the SHA-256 of the path. The first
 * that has a directory and an answer counts. Without any, the disk itself is locked, and
 * its name is its path.
 *
 * libvirt asks programs for the ids (lvs, scsi_id), and both may hang as long as
 * a disk does. The kernel and udev know most of them: they are asked first, where they can
 * only say what the program would. Otherwise the program is run, until a deadline.
 *
 *   /dev/VG/LV, /dev/mapper/VG-LV   the id that LVM gave the kernel for a volume of
 *                                   exactly that name; another path to it is no name
 *                                   that lvs knows
 *   a whole SCSI disk               what scsi_id told udev when the disk came, if it is
 *                                   a registered NAA name: others are chosen differently
 *                                   by other programs that tell udev
 *
 * A program that cannot be run, or does not end by itself, is an error as under
 * libvirt: another name would be another lock. One that ends with a status, or says
 * nothing, has no name for the disk, and the next rule counts.
 */

#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>

/* How a name was found. */
enum hf_name_way {
        HF_NAME_PATH, /* the path itself */
        HF_NAME_HASH,
        HF_NAME_LVM_KERNEL,
        HF_NAME_LVM_PROGRAM,
        HF_NAME_SCSI_UDEV,
        HF_NAME_SCSI_PROGRAM,
};

/* The part of libsystemd that reads udev's database. */
struct hf_name_udev;

/* Directories; NULL: not set. What it points to belongs to the caller. */
struct hf_name_dirs {
        const char *file, *lvm, *scsi;
        const struct hf_name_udev *udev; /* NULL: scsi_id is asked */
};

struct hf_name {
        const char *lockspace; /* one of the directories, or "" */
        char *text;            /* to be freed */
        enum hf_name_way way;
};

/*
 * The name of the disk at path. deadline is in nanoseconds of CLOCK_MONOTONIC.
 * -ETIMEDOUT when a program did not answer until then; -ENOMEM; otherwise what kept a
 * program from being run, or -EIO when it was killed.
 */
int hf_name_of_disk(const struct hf_name_dirs *dirs, const char *path, uint64_t deadline,
                    struct hf_name *ret, struct hf_error *err);

/* The hash of a path alone: what stands for it in a directory. To be freed; NULL: no memory. */
char *hf_name_hash(const char *path);

/* "path", "sha256", "lvm (kernel)", "lvm (lvs)", "scsi (udev)", "scsi (scsi_id)". */
const char *hf_name_way(enum hf_name_way way);

/*
 * Loads it, where loading a library is no trouble: in a process between fork and exec
 * it could be. NULL: it is not here. hf_name_udev_free(NULL) is fine.
 */
struct hf_name_udev *hf_name_udev_new(void);
void hf_name_udev_free(struct hf_name_udev *udev);
