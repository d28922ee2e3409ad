/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Holders that are not ours: a QEMU that was started by hand, another lock
 * daemon. Whether there is one the kernel tells at once, by file locks; who it
 * is takes a look at every process in /proc, so that comes second.
 *
 * QEMU marks an image that it uses by locks on single bytes (docs of -drive,
 * "file.locking"): 100 + N says that it uses the image in way N, 200 + N that
 * it bears nobody else doing so; N is 0 for reading and 1 for writing. Byte 0
 * is a lock daemon's.
 */

#include "cli/holder.h"
#include "cli/plan.h"
#include "storage/users.h"

enum hf_foreign_byte {
        HF_DAEMON_BYTE = 0,
        HF_QEMU_USES = 100,
        HF_QEMU_FORBIDS = 200,
        HF_QEMU_WRITING = 1, /* from either */
};

/* Whether somebody's lock on that byte stands against one of that type (F_RDLCK, F_WRLCK). */
bool hf_foreign_is_locked(int fd, short type, off_t byte);

/*
 * Whether such a lock stands against the image in its mode. with_daemons: byte
 * 0 counts too; not meant for images that our own daemon may have locked.
 * Returns 1 or 0, or a negative errno when the image cannot be opened.
 */
int hf_foreign_opposes(const struct hf_plan_image *image, bool with_daemons);

/* Processes that are known and not to be reported. */
struct hf_foreign_known {
        pid_t *pids;
        size_t n;
        pid_t daemon; /* its children are known too */
};

int hf_foreign_know(struct hf_foreign_known *known, pid_t pid);

/* The lock daemon and its other processes. */
int hf_foreign_know_daemon(struct hf_foreign_known *known, pid_t pid);
void hf_foreign_forget(struct hf_foreign_known *known);

/*
 * Calls told() for each process that has the thing open, and writes it or has a
 * lock on it. Only processes that we may look at are found. Returns how many
 * there were, or a negative errno.
 */
int hf_foreign_find(const struct hf_thing *thing, const struct hf_foreign_known *known,
                    void (*told)(const struct hf_user *user, void *context), void *context);

/* Through what it holds the thing: "by locks of its own, not by Holdfast" and so on. */
const char *hf_foreign_means(const struct hf_user *user);

/*
 * Who holds the image against us, in words, looked up in /proc and among the
 * system's VMs, and in the record of a holder at another host; "a process that we may
 * not look at, or one on another host" when nobody is found there.
 */
char *hf_foreign_opponent(const struct hf_plan_image *image, char text[static HF_HOLDER_TEXT_MAX]);

/*
 * Whether somebody stands against the image by the file that stands for it in a lockspace, where
 * this host's settings have one; and if so, who it is, as above. Not meant for images that our own
 * daemon may have locked.
 */
bool hf_foreign_opposes_aside(const struct hf_plan_image *image,
                              char text[static HF_HOLDER_TEXT_MAX]);
