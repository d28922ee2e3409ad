/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Things: what a path leads to, whatever the path is called.
 *
 * A regular file is its device and inode number, a block device its own device
 * number; two names of one thing compare equal. Of nothing else can the content be locked.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

enum hf_thing_kind {
        HF_THING_NONE = 0, /* not known: only the name counts */
        HF_THING_FILE = 1,
        HF_THING_BLOCK = 2, /* dev is the device's number, ino 0 */
        /* Not what is in a file, but what is noted about it: of a file of any type. */
        HF_THING_METADATA = 3,
};

struct hf_thing {
        uint32_t kind; /* enum hf_thing_kind */
        uint64_t dev;
        uint64_t ino;
};

/* The thing behind *st, or -EISDIR for a directory, -ENOTSUP for anything else that is neither. */
int hf_thing_of(const struct stat *st, struct hf_thing *ret);

/* Whether a and b are known and the same. */
static inline bool hf_thing_same(const struct hf_thing *a, const struct hf_thing *b)
{
        return a->kind != HF_THING_NONE && a->kind == b->kind && a->dev == b->dev &&
               a->ino == b->ino;
}
