/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What a lease is called and where it lies, and the form in which libsanlock takes it.
 */

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Does not include what it uses. */
#include <sanlock.h>

/* The lockspace of all leases that are made for disks; also the name of its file. From libvirt. */
#define HF_SANLOCK_DISKS "__LIBVIRT__DISKS__"

/* One call of libsanlock takes no more resources (SANLK_MAX_RESOURCES of sanlock.h). */
#define HF_SANLOCK_CALL_MAX SANLK_MAX_RESOURCES

struct hf_sanlock_lease {
        char *label; /* what it is for, as it was added */
        bool shared;
        bool made; /* for a disk: its file is made where there is none */
        char lockspace[SANLK_NAME_LEN + 1];
        char key[SANLK_NAME_LEN + 1];
        char *path; /* absolute, no blanks */
        uint64_t offset;
};

/* A resource with its one disk, as libsanlock's calls take it. */
struct hf_sanlock_resource {
        struct sanlk_resource res;
        struct sanlk_disk disk;
};

/* The lease of the disk at path (absolute), in dir. Clear *ret with hf_sanlock_lease_clear. */
int hf_sanlock_lease_of_disk(const char *dir, const char *path, struct hf_sanlock_lease *ret,
                             struct hf_error *err);

/*
 * A lease of the user's. -EINVAL for what sanlock could not take or not report: a name of more
 * than 48 bytes, a path that is not absolute, too long or with blanks, and so on.
 */
int hf_sanlock_lease_named(const char *lockspace, const char *key, const char *path,
                           uint64_t offset, struct hf_sanlock_lease *ret, struct hf_error *err);
void hf_sanlock_lease_clear(struct hf_sanlock_lease *lease);

/* Fills *ret; all that is not said is zero. */
void hf_sanlock_lease_resource(const struct hf_sanlock_lease *lease,
                               struct hf_sanlock_resource *ret);

/* Whether a directory or file may be the place of leases: see hf_sanlock_lease_named. */
int hf_sanlock_check_path(const char *what, const char *path, struct hf_error *err);
