/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Taking locks.
 *
 * An acquire goes: bind the owner; judge by name; find the thing behind a hashed
 * name; open and lock the file; judge by what was found; enter it into the table.
 * What of this is in the kernel's memory is done at once, and for the rest a worker
 * asks the filesystem, while others are served (work.h); then owner and name are
 * judged again. A refusal by a holder that
 * is not in our table is completed by looking for that holder in /proc, in
 * slices, so that it can be named.
 */

#include "daemon/kept.h"
#include "daemon/session.h"
#include "lockspace/claims.h"
#include "storage/users.h"

struct hf_acquire {
        const char *lockspace; /* path; "" for the default lockspace */
        const char *name;
        const char *image; /* the disk that the name stands for, for people; NULL or "": none */
        bool shared;
        bool autocreate;
        struct hf_thing thing; /* as the caller knows it; none otherwise */
};

/* How it ended. */
struct hf_acquired {
        bool had;      /* with status 0: the owner had it before, by this name */
        uint32_t mine; /* which is this hold */
        int status;    /* 0, -EBUSY: held by another, or another negative errno */
        uint32_t hold; /* with -EBUSY: what stands against it, if it is in the table; with 0: its
                          own */
        bool foreign;  /* with -EBUSY: somebody has it who is not in our table */
        const struct hf_record *elsewhere; /* or who has it on another host, as a record says */
        struct hf_thing file;              /* with 0: what carries the lock */
        struct hf_error error;
};

/*
 * Acquires for the session's owner. done is called once with the outcome, before
 * or after this returns, unless the session ends first; it has to answer.
 * Returns enum hf_outcome (HF_ANSWERED or HF_PENDING), or a negative errno with
 * *err and without a call of done.
 */
int hf_acquire(struct hf_session *session, const struct hf_acquire *acquire,
               void (*done)(struct hf_session *session, const struct hf_acquired *acquired),
               struct hf_error *err);

/*
 * Acquires at once what an owner, which is in the table, had of an earlier
 * daemon. -EBUSY, or another negative errno, with *err, which names who has it
 * now: if it is not in the table, as far as the scan (NULL: none) saw it. What was
 * kept is taken as it is.
 */
int hf_acquire_again(struct hf_server *server, uint32_t owner, const struct hf_claim *claim,
                     struct hf_kept *kept, const struct hf_user_scan *scan, struct hf_error *err);

/* The lockspace at path, or 0 with *err. */
uint32_t hf_find_lockspace(struct hf_server *server, const char *path, struct hf_error *err);

/* Refuses (-EINVAL) a name that would leave the directory of a directory lockspace. */
int hf_check_resource_name(uint32_t lockspace, const char *name, struct hf_error *err);

/* The refusal of name because of a hold that is in the table: -EBUSY, naming the holder. */
int hf_refuse(struct hf_server *server, uint32_t hold, const char *name, struct hf_error *err);
