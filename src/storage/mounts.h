/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Mounts: which filesystem a path is on, and whether that always answers.
 *
 * Found out from the text of the path and the kernel's list of mounts alone, so
 * that no filesystem is asked. A filesystem is `local` when opening and locking a
 * file that the kernel has in memory never waits for anything: not for a server,
 * and not for the end of an fsfreeze; and `closes` when closing one does not. What
 * is not known to be so is not.
 *
 * Only of a path without symbolic links it is known where it leads.
 */

#include <stdbool.h>
#include <stdint.h>

struct hf_mount {
        uint64_t dev;      /* as st_dev of its files, but for filesystems of many devices (btrfs) */
        const char *point; /* where it is mounted */
        const char *type;  /* as mount(8) names it */
        const char *options;       /* of this mount, and */
        const char *super_options; /* of the filesystem: words with commas between them */
        bool local;
        bool closes;
};

struct hf_mounts;

/* Reads the list of mounts. Negative errno. */
int hf_mounts_new(struct hf_mounts **ret);

/* The same of a list in another file, in the form of mountinfo (proc(5)). */
int hf_mounts_new_from(const char *list, struct hf_mounts **ret);
struct hf_mounts *hf_mounts_free(struct hf_mounts *mounts);

static inline void hf_mounts_freep(struct hf_mounts **mounts)
{
        *mounts = hf_mounts_free(*mounts);
}

#define hf_cleanup_mounts hf_cleanup(hf_mounts_freep)

/*
 * A descriptor that says by EPOLLPRI or EPOLLERR that the list has changed; it
 * stays theirs. Who is told so calls hf_mounts_changed.
 */
int hf_mounts_fd(const struct hf_mounts *mounts);
void hf_mounts_changed(struct hf_mounts *mounts);

/*
 * The mount that an absolute path without ".", ".." and "//" is on, unless a
 * symbolic link leads away from it; NULL for any other path. Valid until the next
 * call.
 */
const struct hf_mount *hf_mounts_of_path(struct hf_mounts *mounts, const char *path);

/* A mount of the filesystem of that device, also one that is new, or NULL. */
const struct hf_mount *hf_mounts_of_dev(struct hf_mounts *mounts, uint64_t dev);
