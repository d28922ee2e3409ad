/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Who has it open: processes that lock a thing or carry a connection, found by
 * reading /proc. The kernel gives no pid for an OFD lock anywhere else; the
 * "lock:" lines of /proc/PID/fdinfo do. /proc/locks is never read: that stalls
 * every locker on the machine.
 *
 * What the caller has no right to see is not found: without privilege these are
 * its own processes.
 */

#include "base/thing.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* A process that has the thing open; its descriptors on it are taken together. */
struct hf_user {
        pid_t pid;
        char comm[32];
        bool writes;   /* one is open for writing */
        bool locks;    /* one has a lock of any kind on the file */
        bool our_byte; /* that lock is on byte 0: virtlockd, another holdfastd, or a duplicate */
        bool works;    /* one is open for writing and has no lock on our byte */
};

/* A scan in progress, so that a program with other duties can do it in slices. */
struct hf_user_scan;

/*
 * Starts to look for the users of a thing (NULL: none yet). `skip` are pids not to
 * report, until a 0; it stays the caller's, and must stay.
 */
int hf_user_scan_new(const struct hf_thing *thing, const pid_t *skip, struct hf_user_scan **ret);
struct hf_user_scan *hf_user_scan_free(struct hf_user_scan *scan);

/* Another thing to look for at the same time; before the first step. -ENOMEM. */
int hf_user_scan_add(struct hf_user_scan *scan, const struct hf_thing *thing);

/*
 * Looks at up to `processes` more processes. Returns 1 while there are more,
 * 0 when all have been seen.
 */
int hf_user_scan_step(struct hf_user_scan *scan, unsigned int processes);

/*
 * What was found so far, one entry per process; belongs to the scan. Of the only
 * thing that is looked for, or of one of them.
 */
const struct hf_user *hf_user_scan_result(const struct hf_user_scan *scan, size_t *ret_n);
const struct hf_user *hf_user_scan_users(const struct hf_user_scan *scan,
                                         const struct hf_thing *thing, size_t *ret_n);

/*
 * The numbers of a process's descriptors that hold our byte of the thing, as open
 * file descriptions do, in that mode. Fills numbers[] up to max and returns how
 * many there are; 0 also where they cannot be seen.
 */
int hf_user_lock_fds(pid_t pid, const struct hf_thing *thing, bool shared, int *numbers, int max);

/*
 * The processes that carry the other ends of UNIX sockets: inodes[] are those
 * of our ends as the daemon reports them. Fills pids[] up to max and returns
 * how many there are, or a negative errno.
 */
int hf_socket_carriers(const uint64_t *inodes, size_t n, pid_t *pids, size_t max);
