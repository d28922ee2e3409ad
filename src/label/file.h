/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Which file: an image is deleted and made anew, and has the inode number again; a copy of it has
 * its attributes too; a disk has another device number after the next boot. A label is given back
 * to the very file that it was taken from, or not at all.
 *
 * A file is known by its inode number, its time of birth, and its handle (which carries the
 * generation of the inode). Not each filesystem has each; two looks are compared by what both
 * have. The device number tells one filesystem from another, while the host is up.
 */

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* MAX_HANDLE_SZ of the kernel, and the type in front. */
#define HF_LABEL_HANDLE_MAX (128 + 4)

struct hf_label_file {
        uint64_t ino, dev;
        uint64_t birth;  /* nanoseconds since the epoch; 0: not known */
        size_t n_handle; /* 0: not known */
        uint8_t handle[HF_LABEL_HANDLE_MAX];
        /* Not of the record. */
        uint32_t mode;
};

/* Looks at what fd (O_PATH will do) is. */
int hf_label_file_of(int fd, struct hf_label_file *ret, struct hf_error *err);

/* Whether both are one file, as far as its filesystem tells; devices do not count. */
bool hf_label_file_same(const struct hf_label_file *a, const struct hf_label_file *b);

/* A number made of birth and handle, for names. */
uint32_t hf_label_file_hash(const struct hf_label_file *file);
