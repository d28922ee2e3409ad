/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Disks by whatever node. A SCSI disk has a block node, one for each partition, and a generic one
 * (/dev/sgN); a command to any of them reaches the whole disk, so a rule about one is about all.
 * A namespace of NVMe is a disk, the controller that it shares with others is none.
 */

#include <stdbool.h>
#include <sys/stat.h>

#define HF_PR_SYSFS "/sys"

/*
 * Whether two nodes or files are one thing: one inode, one device number, or nodes of one disk as
 * sysfs knows them. Where sysfs does not tell, only the numbers count.
 */
bool hf_pr_same_disk(const char *sysfs, const struct stat *a, const struct stat *b);

/* The same by their numbers alone: a partition is neither its disk nor the next partition. */
bool hf_pr_same_node(const struct stat *a, const struct stat *b);

bool hf_pr_is_partition(const char *sysfs, const struct stat *st);

/*
 * Whether a device is that other one or stands on it, however many volumes, maps or the like there
 * are between them: a command to it may end there. Where that cannot be told, it does.
 */
bool hf_pr_stands_on(const char *sysfs, const struct stat *device, const struct stat *below);
