/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What a virtual machine holds: a plain value.
 *
 * A spec is filled by readers (the options of our own command, a QEMU command
 * line, a domain description) and read by whoever takes the locks. It knows
 * nothing of how a lock is taken, opens no file, and keeps each path as the
 * text it was given: that two paths are one file is found out by the daemon,
 * which opens them.
 *
 * How strongly a disk is wanted, from strong to weak:
 *
 *   exclusive (no flag)   the guest writes and nobody else may use it
 *   HF_VM_DISK_SHARED     the guest writes, others that say the same may too
 *   HF_VM_DISK_READONLY   the guest only reads; other readers are welcome
 *
 * One path is in the list once. When it is added again the stronger wish wins,
 * so that a reader's mention of a disk never weakens its writer's.
 */

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* More disks than any QEMU machine has slots for, backing files included. */
#define HF_VM_DISKS_MAX 4096

/* Leases are few (one or two per VM in practice); sanlock itself takes 8 at a time. */
#define HF_VM_LEASES_MAX 1024

/* The kernel's PATH_MAX, the ending zero included: a longer path cannot be opened. */
#define HF_VM_PATH_MAX 4096

/* VM names, lockspace names and keys: far above what file names (255) allow. */
#define HF_VM_NAME_MAX 1024

/* An UUID in its usual spelling and the ending zero. */
#define HF_VM_UUID_TEXT 37

enum hf_vm_disk_flags {
        HF_VM_DISK_READONLY = 1 << 0,
        HF_VM_DISK_SHARED = 1 << 1,
        /* The backing file or the data file of this image was named by the one who named
         * the image (and is in the list, if there is one), so that what the image's own
         * header says of it is not used. */
        HF_VM_DISK_BACKING_GIVEN = 1 << 2,
        HF_VM_DISK_DATA_GIVEN = 1 << 3,
};

struct hf_vm_disk {
        char *path;     /* as given, never empty */
        char *format;   /* "raw", "qcow2", ...; NULL: not said, whoever opens it looks */
        char *from;     /* where it came from, for people: "-drive", "backing file of X" */
        unsigned flags; /* enum hf_vm_disk_flags */
};

struct hf_vm_lease {
        char *lockspace;
        char *key;
        char *path;
        uint64_t offset; /* bytes */
};

struct hf_vm_spec {
        char *name;       /* NULL: not known */
        uint8_t uuid[16]; /* meaningful if has_uuid */
        bool has_uuid;
        struct hf_vm_disk *disks;
        size_t n_disks;
        struct hf_vm_lease *leases;
        size_t n_leases;
};

/* Makes an empty spec. */
void hf_vm_spec_init(struct hf_vm_spec *spec);

/* Frees what the spec holds and leaves it empty. NULL is fine; usable with hf_cleanup(). */
void hf_vm_spec_free(struct hf_vm_spec *spec);

/* Replaces the name by a copy of `name`. -EINVAL: empty or too long; -ENOMEM. */
int hf_vm_spec_set_name(struct hf_vm_spec *spec, const char *name, struct hf_error *err);

/*
 * Adds a disk (flags: enum hf_vm_disk_flags; format and from may be NULL; all text is
 * copied), or strengthens the entry of the same path. Where the two disagree about the
 * format it becomes "not said"; a GIVEN flag stays only if both have it; the origin is
 * that of the stronger, of the first if equal.
 * -EINVAL: empty or too long a path; -E2BIG: list full; -ENOMEM.
 */
int hf_vm_spec_add_disk(struct hf_vm_spec *spec, const char *path, unsigned flags,
                        const char *format, const char *from, struct hf_error *err);

/* Adds a copy of *lease unless the very same one is there. Errors as for disks. */
int hf_vm_spec_add_lease(struct hf_vm_spec *spec, const struct hf_vm_lease *lease,
                         struct hf_error *err);

/*
 * Adds all that `other` holds; its name and UUID only where `spec` has none.
 * On an error *spec is as it was.
 */
int hf_vm_spec_merge(struct hf_vm_spec *spec, const struct hf_vm_spec *other, struct hf_error *err);

/* The entry of exactly this path, or NULL. Owned by the spec. */
const struct hf_vm_disk *hf_vm_spec_find_disk(const struct hf_vm_spec *spec, const char *path);

/*
 * The option `--disk PATH[:ro|:shared]`. Only these two words after the last colon
 * mean something, any other colon belongs to the path. -EINVAL if there is no path.
 */
int hf_vm_spec_add_disk_option(struct hf_vm_spec *spec, const char *text, struct hf_error *err);

/*
 * The option `--lease LOCKSPACE:KEY:PATH[:OFFSET]`. The lockspace and the key hold no
 * colon; the path may, as long as what follows its last one is not a decimal number.
 * -EINVAL if a part is missing, -ERANGE if the offset does not fit 64 bits.
 */
int hf_vm_spec_add_lease_option(struct hf_vm_spec *spec, const char *text, struct hf_error *err);

/* Reads a UUID, with or without dashes, any case. -EINVAL with text if it is none. */
int hf_vm_uuid_parse(const char *text, uint8_t ret_uuid[16], struct hf_error *err);

/* Writes the usual spelling, lower case with dashes; returns `text`. */
const char *hf_vm_uuid_format(const uint8_t uuid[16], char text[HF_VM_UUID_TEXT]);
