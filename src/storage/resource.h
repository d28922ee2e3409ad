/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Resources on disk: opening a file or block device and locking it.
 *
 * The lock is an OFD lock on byte 0, one byte long: write for exclusive, read
 * for shared. It conflicts with stock virtlockd's POSIX lock on the same byte,
 * on this host and across NFS, and stays clear of libvirt's metadata lock (byte
 * 1) and of QEMU's image locks (bytes 100 and 200 onwards).
 *
 * Taking is one step with one completion, so that it can be done elsewhere when
 * the filesystem may hang.
 */

#include "base/error.h"
#include "base/thing.h"

#include <stdbool.h>

struct hf_resource_request {
        const char *path;
        bool shared;
        bool autocreate; /* make the file if it is missing; it goes with the lock */
};

/* What came of it. */
struct hf_resource_result {
        int status; /* 0 locked; -EAGAIN held by another descriptor; else a negative errno */
        int fd;     /* the locked descriptor, or -1 */
        struct hf_thing file; /* set when the file could be opened */
};

/*
 * Opens and locks. With status 0 the caller owns ret->fd; with -EAGAIN the file
 * is known and somebody else, here or elsewhere, has the lock. -ENOTSUP or
 * -EISDIR: neither a regular file nor a block device.
 */
void hf_resource_take(const struct hf_resource_request *request, struct hf_resource_result *ret);

/*
 * Sees to it that a descriptor that should have the lock has it: -EAGAIN, somebody
 * else does. What has it already stays as it is.
 */
int hf_resource_prove(int fd, bool shared);

/*
 * Gives a lock back: an explicit unlock, which frees it for every duplicate of
 * the descriptor, then close. With unlink_path the file is removed first, while
 * the lock is still held, provided that nobody else shares it, it is still the
 * file of that name, and it is empty: what has content is never deleted.
 */
void hf_resource_give(int fd, const char *unlink_path);

/* Creates an empty file, mode 0600, or leaves one that exists. */
int hf_resource_create(const char *path);

/* Removes the file, or does nothing where there is none. */
int hf_resource_delete(const char *path);

/* What is behind a path now; follows symlinks. Negative errno. */
int hf_resource_identify(const char *path, struct hf_thing *ret);
