/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The one safe next step for who wants a disk that may be somebody else's.
 *
 * A pure judgement: it looks at what was found out and asks nobody. It never
 * advises to remove a lock file or to break a lock: whoever has the disk has to
 * end, or to be proved dead, first.
 */

#include "cli/holder.h"
#include "storage/record.h"
#include "storage/users.h"

#include <stdbool.h>

/* What was found out about a disk. */
struct hf_standing {
        const char *path;                      /* as the user named it */
        const struct holdfast_lock_info *hold; /* what our daemon holds; NULL: nothing */
        const struct holdfast_holder *leased; /* who holds its lease, by the lock driver; or NULL */
        pid_t carrier;                        /* that has the connection of its VM; 0: none */
        const struct hf_user *process;        /* another process of this host, or NULL */
        const struct hf_record *record;       /* beside the lock, whoever wrote it, or NULL */
        unsigned int lease_s;                 /* of the file server's leases; 0: it has none */
        bool locked;                          /* somebody has the lock of lock daemons */
        bool is_ours;                         /* and the record was written on this host */
        bool used;                            /* a QEMU's own locks are there */
        bool hidden;                          /* the locks could not be looked at */
        bool unasked;                         /* the lock driver could not find out who has it */
        bool unclear;                         /* it cannot be told which file carries its lock */
        bool daemon;   /* who keeps its lock answers: our daemon, or the lock driver */
        bool all_seen; /* every process could be looked at */
};

#define HF_ADVICE_TEXT_MAX 1536

struct hf_advice {
        const char *situation; /* for programs: "free", "held", ... (see holdfast(1)) */
        bool free;             /* a VM could have it now */
        char verdict[HF_ADVICE_TEXT_MAX];
        char next[HF_ADVICE_TEXT_MAX];
};

void hf_advise(const struct hf_standing *standing, struct hf_advice *ret);
