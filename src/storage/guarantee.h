/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Guarantee: how far a lock on a file reaches, from what the file lives on.
 *
 * A lock excludes others on this host, or on all hosts that have the same
 * filesystem; which of the two is a matter of the filesystem's type and of how it
 * is mounted. What is not known to reach other hosts is said to be this host's.
 * A lock that reaches them is still advisory: a host that is cut off goes on
 * writing, unless somebody stops it.
 */

#include "base/thing.h"
#include "storage/mounts.h"

/* The numbers are those of enum hf_guarantee in holdfast/lock-driver.h. */
enum hf_guarantee_level {
        HF_LEVEL_NONE = 0,
        HF_LEVEL_HOST = 1,
        HF_LEVEL_CLUSTER_ADVISORY = 2,
        HF_LEVEL_CLUSTER_FENCED = 3,
};

/* Room for a type, an option and some words. */
#define HF_GUARANTEE_REASON_MAX 160

struct hf_guarantee_of {
        enum hf_guarantee_level level;
        bool unsafe; /* other hosts use it too, and its locks cannot be relied upon by them */
        char reason[HF_GUARANTEE_REASON_MAX]; /* in words: "nfs4, vers=4.2" */
};

/*
 * What a lock on a thing is worth. mount is the thing's own filesystem; NULL: not
 * known. Asks no filesystem.
 */
void hf_guarantee_of_mount(const struct hf_mount *mount, const struct hf_thing *thing,
                           struct hf_guarantee_of *ret);

/* The same, with the mount looked up in the kernel's list; mounts NULL: nothing is known. */
void hf_guarantee_of_thing(struct hf_mounts *mounts, const struct hf_thing *thing,
                           struct hf_guarantee_of *ret);
