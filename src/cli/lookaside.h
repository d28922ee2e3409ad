/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Where the lock of a disk is, by this host's settings: on the disk itself, or on a
 * file that stands for it in a lockspace directory (storage/names.h).
 */

#include "base/error.h"
#include "storage/guarantee.h"
#include "storage/names.h"
#include "storage/record.h"

struct hf_lookaside {
        char *dir;  /* the lockspace directory; NULL: the lock is on the disk itself */
        char *file; /* the file there, which may not exist */
};

/*
 * The path that a disk is known by. What is absolute is left as it is written, for libvirt makes
 * its names of that; what is not has no such name yet, and gets one that does not depend on where
 * it was asked from, except by links. To be freed; NULL with errno.
 */
char *hf_lookaside_absolute(const char *path);

/*
 * Of the disk at path, which is made absolute. A negative errno where the settings cannot be
 * read, or the disk's name cannot be found out in a few seconds. *ret is freed with
 * hf_lookaside_clear.
 */
int hf_lookaside_of(const char *path, struct hf_lookaside *ret, struct hf_error *err);

/*
 * What the lock of the disk at path, which is thing, is worth. Of a directory that is not there
 * yet, that is what one in its place would be worth.
 */
void hf_lookaside_reach(const struct hf_lookaside *lookaside, const char *path,
                        const struct hf_thing *thing, struct hf_guarantee_of *ret);

/*
 * Whether a record that was found at the disk at path is no record of a lock there, but word
 * that a host locks this disk in a lockspace directory (cli/dangers.h).
 */
bool hf_lookaside_is_word(const char *path, const struct hf_record *record);

void hf_lookaside_clear(struct hf_lookaside *lookaside);

#define hf_cleanup_lookaside hf_cleanup(hf_lookaside_clear)
