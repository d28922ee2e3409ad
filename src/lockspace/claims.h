/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Claims: what a table says about each hold that still makes sense when the
 * daemon that wrote it is gone.
 *
 * A daemon may be killed between any two stores, so the chains of its table are
 * not believed. Each hold carries a check of all that it says, written last and
 * cleared first; what has no check was not finished, what has a wrong one is
 * damaged.
 */

#include "lockspace/table.h"

#include <stdbool.h>

/* Strings belong to the table. */
struct hf_claim {
        pid_t pid;
        uint64_t start;
        uint64_t client; /* of a client owner; or 0 */
        uint8_t uuid[16];
        uint32_t id;
        const char *vm;
        uint64_t vm_since;
        const char *lockspace; /* path; "" for the default one */
        const char *name;
        const char *via;
        uint64_t since;
        uint64_t set; /* that it was acquired with; 0: none */
        bool shared;
        bool autocreate;
        int fd;                /* in the process that took the lock, and its successors; or -1 */
        struct hf_thing file;  /* that was locked; fd is -1 where its kind is HF_THING_METADATA */
        struct hf_thing thing; /* that the file stands for; kind none: not known, or damaged */
        /* Not covered by a check, as it changes: good for a look at the processes, no more. */
        bool carried;    /* the process had ended, another one carried its connection */
        bool duplicated; /* a VM may have a duplicate of the descriptor */
        uint32_t serial; /* of the descriptor in a parking lot; or 0 */
        uint32_t unsafe; /* HF_LOCK_UNSAFE */
        uint32_t acted;  /* enum hf_acted, of the owner */
        uint32_t on_lost;
        const char *monitor;
};

/* Highest index at which there may be a claim. */
uint32_t hf_claims_end(const struct hf_table *table);

/*
 * Returns 1 with the claim at an index, 0 where there is none, -EBADMSG where it is damaged. Of a
 * set of which not all holds were claimed there is none.
 */
int hf_claims_get(struct hf_table *table, uint32_t hold, struct hf_claim *ret);

/*
 * The same for lockspaces, which clients announce but once: the path of the one
 * at an index, from 1 to the end.
 */
uint32_t hf_claims_lockspaces_end(const struct hf_table *table);
int hf_claims_get_lockspace(struct hf_table *table, uint32_t lockspace, const char **ret);

/*
 * The checks of a hold that is in the table, of a lock's thing, of an owner's monitor, and of a
 * lockspace.
 * 0 is that of a hold or a lockspace that cannot be read, and no other one.
 */
uint32_t hf_claims_check(struct hf_table *table, uint32_t hold);
uint32_t hf_claims_check_thing(const struct hf_thing *thing);
uint32_t hf_claims_check_monitor(const struct hf_owner *owner);
uint32_t hf_claims_check_lockspace(struct hf_table *table, uint32_t lockspace);

/* A string of a table that may be damaged, of at most max bytes; NULL: there is none there. */
const char *hf_claims_string(const struct hf_table *table, uint32_t string, size_t max);
