/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What becomes of a VM when the lockspace of its leases has failed.
 *
 * sanlock runs holdfast-sanlock-killpath once for each VM, with the path of its note, when it has
 * not renewed its host's lease for long (8 times the I/O timeout). Unless the VM ends or has
 * given its leases back within the grace (40 seconds usually) sanlock sends SIGKILL, and unless
 * that helps a watchdog resets the host before others may take the leases over. So this program
 * has some seconds to do something kinder, and nothing is lost when it cannot.
 *
 * It may run as root, in the hands of whoever may talk to sanlock. It therefore believes a
 * note only if root has written it, or the user whose process it is about; and of a user's note it
 * becomes that user before it does anything. It signals by a pidfd of the process that
 * was started when the note says, and talks to a monitor only if that process is the one
 * that listens. It starts no program, uses nothing of its environment, and ends within
 * HF_KILLPATH_SECONDS whatever hangs.
 */

#include "base/error.h"
#include "driver/sanlock/note.h"

/* The longest way: a monitor that settles at the last moment, and leases to be given back. */
#define HF_KILLPATH_SECONDS 30

/* For how long a VM may take to write what it has begun to; the rest of sanlock's grace is spare.
 */
#define HF_KILLPATH_SETTLE_MS 12000

/* After each of: to be told to quit, SIGTERM, SIGKILL. */
#define HF_KILLPATH_END_MS 3000

struct hf_killpath {
        struct hf_sanlock_note note;
        int pidfd;
        char done[1024]; /* what was done, for the log */
};

/*
 * Becomes who may do to the process what its note says: nobody else than we are for a note of
 * root's, and the process's user for one of his. -EPERM for a note of anybody else.
 */
int hf_killpath_rights(const struct hf_killpath *vm, struct hf_error *err);

/* Ends the process, kindly at first. 0: it has ended. */
int hf_killpath_poweroff(struct hf_killpath *vm, struct hf_error *err);

/*
 * Stops the VM. 0: it writes no more, and its leases are given back: it lives. -EBUSY: it was
 * only stopped by a signal and keeps its leases, so that sanlock will end it.
 */
int hf_killpath_pause(struct hf_killpath *vm, struct hf_error *err);

/* The same for its leases: their versions are noted first. What is not held is not there. */
int hf_killpath_give_back(struct hf_killpath *vm, struct hf_error *err);
