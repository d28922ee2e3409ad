/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The files of a metadata lock: found once, kept open so that no other file can
 * get their numbers, and found again when the lock is there.
 *
 * They are opened with O_PATH, which reads and writes nothing, works for every type of
 * file, and whose end takes no POSIX lock of this process with it. A descriptor of the caller
 * is opened again by /proc for that reason: a plain duplicate, closed, would.
 */

#include "client/client.h"

struct hf_metadata_file {
        int fd; /* O_PATH */
        uint64_t dev;
        uint64_t ino;
        char *name; /* for people: absolute, as it was given if that was */
};

struct hf_metadata_files {
        struct hf_metadata_file *files; /* each inode once */
        size_t n;
        size_t *of_target; /* which of them a target is */
};

/*
 * Opens n targets into the zeroed *files. -E2BIG beyond HOLDFAST_METADATA_MAX different ones. After
 * an error, too, end it with hf_metadata_files_clear.
 */
int hf_metadata_files_open(const struct holdfast_metadata_target *targets, size_t n,
                           struct hf_metadata_files *files, struct holdfast_error *err);

/* -ESTALE if a path leads elsewhere by now. */
int hf_metadata_files_check(const struct holdfast_metadata_target *targets, size_t n,
                            const struct hf_metadata_files *files, struct holdfast_error *err);

void hf_metadata_files_clear(struct hf_metadata_files *files);
