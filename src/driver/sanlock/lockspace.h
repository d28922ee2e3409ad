/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The lockspace of disks' leases, and files of leases: made and formatted where there are
 * none, in such a way that nobody ever sees one that is half done.
 */

#include "driver/sanlock/codes.h"
#include "driver/sanlock/lease.h"
#include "driver/sanlock/settings.h"

/* A lockspace as its host has joined it, or is to. */
struct hf_sanlock_lockspace {
        char name[SANLK_NAME_LEN + 1];
        char *path;
        uint64_t offset;
        unsigned int host_id;
        unsigned int io_timeout; /* 0: of one that is made the daemon's usual */
};

/* That of disks, by the settings. Nothing is allocated: path is "" or points into a buffer of its
 * own. */
int hf_sanlock_lockspace_of_disks(const struct hf_sanlock_settings *settings,
                                  struct hf_sanlock_lockspace *ret, struct hf_lock_error *err);
void hf_sanlock_lockspace_clear(struct hf_sanlock_lockspace *lockspace);

/* Makes the file of a lockspace and formats it. -EEXIST if there is one. */
int hf_sanlock_lockspace_make(const struct hf_sanlock_settings *settings,
                              const struct hf_sanlock_lockspace *lockspace,
                              struct hf_lock_error *err);

/* Makes the file of a lease and formats it, with nobody holding it. One that is there is left
 * alone. */
int hf_sanlock_lease_make(const struct hf_sanlock_settings *settings,
                          const struct hf_sanlock_lease *lease, struct hf_lock_error *err);

/*
 * Joins, and waits for it until deadline (nanoseconds of CLOCK_MONOTONIC). Having joined is no
 * error. Without an I/O timeout it is what the lockspace was made with. -ETIMEDOUT: it goes on in
 * the daemon, and the words say for how long that may be. Another host id than the joined one is an
 * error.
 */
int hf_sanlock_lockspace_join(const struct hf_sanlock_lockspace *lockspace, uint64_t deadline,
                              struct hf_lock_error *err);

/*
 * Refuses (HF_LOCK_E_CONFIG) leases of disks for which this host is in another lockspace than that
 * of the settings, or by another number: hosts that differ in that would not keep each other out.
 */
int hf_sanlock_lockspace_check(const struct hf_sanlock_settings *settings,
                               struct hf_lock_error *err);

/* Whether it is joined: 1, 0, or a negative errno (-EINPROGRESS: it is being joined or left). */
int hf_sanlock_lockspace_joined(const struct hf_sanlock_lockspace *lockspace,
                                struct hf_lock_error *err);
