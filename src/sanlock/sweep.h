/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Removing leases of disks that nobody uses any more.
 *
 * A file that is removed while somebody is about to take its lease would be two files for a
 * moment: the other locks the old one, and the next who comes makes a new one. So a
 * lease is first taken, and given back under another name (in one write to the disk, by sanlock's
 * rename), and only then its file is removed. Who had the old file open finds no lease of that name
 * in it, on any host, and starts again with making one.
 *
 * One sweep at a time: a lease of its own, beside the others, sees to that. What one leaves behind
 * that is killed between renaming and removing is recognised by the next, by that other name.
 */

#include "driver/sanlock/holders.h"
#include "driver/sanlock/lockspace.h"

#include <stdbool.h>

enum hf_sweep_outcome {
        HF_SWEEP_REMOVED,
        HF_SWEEP_WOULD_REMOVE, /* dry run */
        HF_SWEEP_FINISHED,     /* an earlier sweep had given up its lease already */
        HF_SWEEP_LEFTOVER,     /* a file that was never finished */
        HF_SWEEP_IN_USE,
        HF_SWEEP_YOUNG,
        HF_SWEEP_FAILED,
        HF_SWEEP_OUTCOMES
};

struct hf_sweep {
        const struct hf_paths *paths;
        const struct hf_sanlock_settings *settings;
        uint64_t older_than_s;
        bool dry;
        /* Told of each file; why is for HF_SWEEP_FAILED, else "". */
        void (*tell)(void *ctx, enum hf_sweep_outcome outcome, const char *path, const char *why);
        void *ctx;
};

/* Sweeps disk_lease_dir. -EBUSY with words: another does. What fails for one file is told. */
int hf_sweep(const struct hf_sweep *sweep, struct hf_lock_error *err);
