/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Lock files of terminals, as UUCP began and the FHS (3.0, 5.9) describes them: a file in one
 * directory, named after the device, with the pid of who uses it.
 *
 * Programs differ in the name. For /dev/pts/3 minicom makes LCK..pts_3, cu LCK..3 and libvirt
 * LCK.._pts_3, and these are made, as each looks for its own alone; LCK.136.003 and LK.000.136.003
 * are looked at only. A file appears whole, by link(2), never empty. What is there is read
 * leniently (spaces, a text behind the pid, four binary bytes). One whose process is dead is
 * removed; one without a pid in it counts as in use while it is young or somebody has it open, as
 * its maker is about to write it. Whoever removes does so under flock of the directory, so that of
 * those who find the same dead file one gets it.
 *
 * Where the directory may not be written the files are looked at, none is made, and that is
 * no error; nor is a directory that is not there.
 */

#include "base/error.h"

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* The names that are made for one device. */
#define HF_UUCP_NAMES 3

/* Ten columns, and a newline. */
#define HF_UUCP_CONTENT 11

/* What was made, to be removed again. Plain data: it may be sent and kept. */
struct hf_uucp {
        char names[HF_UUCP_NAMES][NAME_MAX + 1]; /* "": not made */
        pid_t pid;                               /* that is in them */
};

/* What is in the way. */
struct hf_uucp_holder {
        char name[NAME_MAX + 1]; /* of the file */
        pid_t pid;               /* 0: there is none in it */
};

/* The pid in such a file's content, 0 if there is none. At most INT_MAX. */
pid_t hf_uucp_parse(const uint8_t *content, size_t len);

/* The files that take would make for the device, with pid; whether or not they are there. */
void hf_uucp_names(const char *path, pid_t pid, struct hf_uucp *ret);

/*
 * Looks at all names of the device (path, as it was named, and its real one; rdev its number), and
 * makes ours, for the process pid. dir: the directory; "": nothing is done. take_from: files with
 * these pids in them do not count and are replaced, also if the processes live (those that were
 * thrown out, or earlier ones of ours), up to a 0; NULL: none.
 *
 * 0 with *ret, perhaps with empty names. -EBUSY with *ret_holder and *err; nothing was made then.
 * -EAGAIN: there is a dead file, and somebody keeps the directory locked; waits a second for that.
 * Or what making them failed with.
 */
int hf_uucp_take(const char *dir, const char *path, dev_t rdev, pid_t pid, const pid_t *take_from,
                 struct hf_uucp *ret, struct hf_uucp_holder *ret_holder, struct hf_error *err);

/* Removes the files of *uucp that have its pid in them still. */
void hf_uucp_give_back(const char *dir, const struct hf_uucp *uucp);

/*
 * Removes files whose pid is `pid` and dead, of any device: what an earlier guard of ours left when
 * it was killed; and what its children had not finished.
 */
void hf_uucp_sweep(const char *dir, pid_t pid);
