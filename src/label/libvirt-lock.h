/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * libvirt's own lock for relabelling: byte 1 of the image, exclusive, which libvirtd's security
 * drivers try for ten seconds. Ours is an OFD lock, which conflicts with their POSIX locks and is
 * not lost when something else closes the file. Byte 0, the lock on what is in the image, is
 * not touched.
 *
 * Where it has to be waited for, a child that has the same open description blocks in the
 * kernel: nobody polls, and when the time is up the child is killed.
 */

#include "base/error.h"

#include <stdint.h>

/*
 * Takes it on the file behind fd (O_PATH). Returns 1 with *ret_fd, whose closing gives it
 * back; 0 where libvirt would take none either: no regular file, or one on a read-only filesystem.
 * -EBUSY when the time (CLOCK_MONOTONIC, milliseconds) is over. path is for messages.
 */
int hf_libvirt_lock(int fd, const char *path, int64_t deadline, int *ret_fd, struct hf_error *err);
