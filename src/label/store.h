/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Where records are kept.
 *
 * The place of choice is the file itself, in the attribute trusted.holdfast.label.KIND: it
 * goes with the file when that is renamed, ends with it, and is seen by all hosts of a shared
 * filesystem. Where a filesystem has no such attributes, or no room in them, or does not let us
 * write them, the record is in the *table*: a file of this host's state directory for each image
 * and kind. A record with users that has grown too long for an attribute moves to the table and
 * stays there until its last user has gone. Whatever the place, there is a file in the table; that
 * of an attribute's record is the index, which tells which images have one. So nobody needs to
 * know paths to list or to repair.
 *
 * Who relabels keeps the table himself, and not the lock daemon: all that is done to a
 * record is done while its image's metadata lock is held, so there is one writer for each record,
 * and record and label change in one order, in one process, with nothing between the two that
 * could be lost in a message. The daemon would have to be told of each step and be asked after
 * each crash, and it would have to outlive what it knows; a file need not. And it serves
 * hosts where labels are given back while the daemon is not even the same version.
 *
 * A table's file is written to another name, synced, renamed, and its directory synced. It is
 * called INODE-HASH-DEVICE.KIND, where the hash is of what file.h knows beside the numbers. As
 * device numbers change when a host is started anew, a record that was written before that
 * is also found by its path, if the very file is still there.
 *
 * At each moment at most one record counts: that of the table if it says "place table", else the
 * attribute's. So what is written is written first and what it replaces is removed then; what is
 * forgotten is removed in the attribute first.
 */

#include "label/kind.h"

/* The image as it is at the moment: locked, and looked at. */
struct hf_label_image {
        int fd;              /* O_PATH; belongs to others */
        const char *path;    /* as it was given, for messages */
        char real[PATH_MAX]; /* as the kernel has it */
        struct hf_label_file file;
};

/* Looks at a locked file. path goes on to belong to the caller. */
int hf_label_image_of(int fd, const char *path, struct hf_label_image *ret, struct hf_error *err);

/* A table, and the id of this host's last start. */
struct hf_label_store {
        const char *dir;
        uint8_t boot[16];
};

/*
 * Reads the image's record. Returns 1 with *ret (to be cleared), 0 if there is none, or it is
 * of another file than this (then it does not count for this one). -EBADMSG with *err: there is
 * one, and it is damaged.
 */
int hf_label_load(const struct hf_label_store *store, const struct hf_label_image *image,
                  const struct hf_label_kind *kind, struct hf_label_record *ret,
                  struct hf_error *err);

/*
 * Writes it, for this image: place, file and path are filled in here. When this returns 0 the
 * record is the one that counts, also after a crash of the machine; otherwise the one before it.
 */
int hf_label_save(const struct hf_label_store *store, const struct hf_label_image *image,
                  struct hf_label_record *record, struct hf_error *err);

/* Removes the image's record of that kind wherever it is. None there is no error. */
int hf_label_forget(const struct hf_label_store *store, const struct hf_label_image *image,
                    const struct hf_label_kind *kind, struct hf_error *err);
