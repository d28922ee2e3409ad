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
 * the filesystem may hang. Functions called "cached" never wait: they work with
 * what the kernel has in memory, or not at all. They are for paths on local mounts
 * (mounts.h), and only where no symbolic link is on the way.
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
        uint64_t proved; /* of one that was waited for: when it was seen to stand, CLOCK_BOOTTIME
                            microseconds */
};

/*
 * Opens and locks. With status 0 the caller owns ret->fd; with -EAGAIN the file
 * is known and somebody else, here or elsewhere, has the lock. -ENOTSUP or
 * -EISDIR: neither a regular file nor a block device.
 *
 * With autocreate the name led to the locked file after it was locked, also in the
 * eyes of a file server: another host, with a stock virtlockd, may remove it at any
 * moment before. -ESTALE: again and again the server does not know what it has named.
 */
void hf_resource_take(const struct hf_resource_request *request, struct hf_resource_result *ret);

/*
 * What nobody can wake us for is looked at again after a pause, of these microseconds at first
 * and twice as long each time, up to the most.
 */
#define HF_RESOURCE_POLL_FIRST_USEC UINT64_C(10000)
#define HF_RESOURCE_POLL_MOST_USEC  UINT64_C(1000000)

static inline uint64_t hf_resource_next_pause(uint64_t pause)
{
        return 2 * pause < HF_RESOURCE_POLL_MOST_USEC ? 2 * pause : HF_RESOURCE_POLL_MOST_USEC;
}

/*
 * The same, but waits for as long as somebody else has the lock: asleep in the kernel, where the
 * filesystem can wake us, else by another look after a while. When it is had, path leads to
 * the locked file; one that was replaced meanwhile is waited for in its place. -EAGAIN: it is
 * replaced again and again.
 */
void hf_resource_await(const struct hf_resource_request *request, struct hf_resource_result *ret);

/*
 * Sees to it that a descriptor that should have the lock has it: -EAGAIN, somebody
 * else does. What has it already stays as it is. -EIO: it was lost, with the lease of an NFS
 * mount; it is not taken anew.
 */
int hf_resource_prove(int fd, bool shared);

/*
 * The same for what the kernel has in memory. False: it cannot be done so, and
 * nothing has been done. A file that has to be made is never in memory. The
 * descriptor is the caller's also where the status is negative, since closing it
 * may wait; with autocreate only for mounts where it does not.
 */
bool hf_resource_take_cached(const struct hf_resource_request *request,
                             struct hf_resource_result *ret);

/*
 * Gives a lock back: an explicit unlock, which frees it for every duplicate of
 * the descriptor, then close. With unlink_path the file is removed first, while
 * the lock is still held, provided that nobody else shares it, it is still the
 * file of that name, and it is empty, or has no more in it than a record of its holder
 * (record.h): what has content is never deleted. On a
 * filesystem that other hosts may have as well it is never removed.
 */
void hf_resource_give(int fd, const char *unlink_path);

/*
 * Whether the filesystem of an open file may be other hosts' as well, by its type. Of what
 * is behind FUSE it is not known. May wait for the filesystem.
 */
bool hf_resource_is_shared_with_hosts(int fd);

/* Creates an empty file, mode 0600, or leaves one that exists. */
int hf_resource_create(const char *path);

/* Removes the file, or does nothing where there is none. */
int hf_resource_delete(const char *path);

/* What is behind a path now; follows symlinks. Negative errno. */
int hf_resource_identify(const char *path, struct hf_thing *ret);

/*
 * The same, and the device of the filesystem that its directory is on, as far as it
 * is in memory; follows symlinks, on any filesystem. Negative errno; -EAGAIN: it is not.
 */
int hf_resource_identify_cached(const char *path, struct hf_thing *ret);
int hf_resource_parent_cached(const char *path, uint64_t *ret_dev);

/*
 * What a descriptor is, as far as the kernel knows it without asking anybody.
 * Negative errno, as hf_thing_of.
 */
int hf_resource_of_fd(int fd, struct hf_thing *ret);

/* The same of what an entry of /proc/PID/fd leads to; dir is open there. */
int hf_resource_of_entry(int dir, const char *entry, struct hf_thing *ret);
