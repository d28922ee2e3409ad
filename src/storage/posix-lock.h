/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * POSIX locks on byte 0, as virtlockd takes them: kept as they are, never taken anew by choice.
 *
 * Such a lock belongs to a descriptor table, not to a descriptor. It stays for as long as any
 * process has the table, also when that executes another program alone with it, and goes as soon
 * as anybody with the table closes any descriptor of the file. It stands against an OFD lock of
 * the same process as against anybody's, so an exclusive one cannot become an OFD lock without a
 * moment in which others may share it.
 */

#include <stdbool.h>

enum hf_posix_lock {
        HF_POSIX_NONE,
        HF_POSIX_SHARED,
        HF_POSIX_EXCLUSIVE,
};

/*
 * What POSIX lock this process's table has on byte 0 of an open file, as the kernel has it in
 * memory; asks no filesystem. Negative errno.
 */
int hf_posix_lock_of(int fd, enum hf_posix_lock *ret);

/*
 * Makes an OFD lock of a POSIX lock. A shared one is never free meanwhile. An exclusive one is
 * never free for who wants it exclusively, but for a moment others may share it: -EAGAIN, somebody
 * does; the lock is an OFD lock then, and shared. In a table without other descriptors of the file.
 */
int hf_posix_to_ofd(int fd, bool shared);

/* Sees to it that the table has the lock: as hf_resource_prove, but for -EIO. */
int hf_posix_prove(int fd, bool shared);

/* As hf_resource_give, for a POSIX lock, and whatever OFD lock is there as well. */
void hf_posix_give(int fd, const char *unlink_path);
