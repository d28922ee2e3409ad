/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the files about taking locks share. */

#include "daemon/acquire.h"
#include "daemon/work.h"
#include "lockspace/describe.h"
#include "lockspace/rules.h"
#include "storage/resource.h"

struct hf_search;
struct hf_set;

/* One acquire from its begin to its answer. */
struct hf_acquire_job {
        struct hf_server *server;
        struct hf_session *session; /* that asked; NULL: a claim of an earlier daemon */
        struct hf_set *set; /* that it is a member of, which is told instead of done; or NULL */
        uint64_t number;    /* of that set, also of a claim's; or 0 */
        void (*done)(struct hf_session *session, const struct hf_acquired *acquired);
        char *path; /* of the file to be locked */
        char *name;
        char *image; /* as asked, or NULL */
        const char *via;
        uint64_t since;
        struct hf_request request;
        bool autocreate;
        bool found;    /* the thing behind its name was looked for */
        bool has_lock; /* result is a lock that somebody has waited for, to be taken */
        struct hf_resource_result result;
        uint64_t begun; /* when the step began, CLOCK_BOOTTIME microseconds; 0: just now */
        struct hf_search *search;
        int unseen;        /* how often somebody had it, and nobody was found */
        bool is_elsewhere; /* a record says that another host has it: */
        struct hf_record elsewhere;
        struct hf_job *work; /* the step that a worker does */
        uint32_t learned;    /* a lock whose thing is being asked for */
        char hash[HF_WORK_HASH_SIZE];
};

/* acquire.c: the job, and what the step found. */

/* In the table, an owner and a lockspace. -ENOMEM. */
int hf_acquire_job_new(struct hf_server *server, uint32_t owner, const struct hf_acquire *acquire,
                       uint32_t lockspace, struct hf_acquire_job **ret);

/* Gives back what was not entered. */
struct hf_acquire_job *hf_acquire_job_free(struct hf_acquire_job *job);

static inline void hf_acquire_job_freep(struct hf_acquire_job **job)
{
        *job = hf_acquire_job_free(*job);
}

#define hf_cleanup_acquire_job hf_cleanup(hf_acquire_job_freep)

/* Whether its name is a hash, and what is behind that is not known. */
bool hf_acquire_is_behind_hash(const struct hf_acquire_job *job);

/* Whether what it locks is made for the lock, as nothing but a name for the thing. */
static inline bool hf_acquire_is_stand_in(const struct hf_acquire_job *job)
{
        return job->autocreate && job->request.lockspace != HF_LOCKSPACE_DEFAULT;
}

/*
 * Begins with a job that is filled in: HF_ANSWERED with *ret, or HF_PENDING; then its session, or
 * its set, is told.
 */
int hf_acquire_begin(struct hf_acquire_job *job, struct hf_acquired *ret);

/*
 * Gives back what was locked and is not entered, before anything is answered. True: a worker does
 * so, and the session goes on, or the set is told, when it has.
 */
bool hf_acquire_tidy(struct hf_acquire_job *job);

/* Judges what the step found. HF_PENDING when a search for a foreign holder has begun. */
int hf_acquire_judge(struct hf_acquire_job *job, struct hf_acquired *ret);

/* acquire-enter.c: what the rules and the table make of it. */

/* Acts on a verdict. Returns false when it is "free": go on. */
bool hf_acquire_settle(struct hf_acquire_job *job, struct hf_verdict verdict,
                       struct hf_acquired *ret);

/* Enters the lock that was just taken: *ret_hold. Negative errno. */
int hf_acquire_enter_new(struct hf_acquire_job *job, uint32_t *ret_hold, struct hf_error *err);

/* The refusal because of a hold, in *ret. */
void hf_acquire_refuse(const struct hf_acquire_job *job, uint32_t hold, struct hf_acquired *ret);

/* The refusal of what is held by somebody who is not in our table; NULL: nobody knows who. */
int hf_acquire_refuse_foreign(const struct hf_acquire_job *job, const struct hf_user *holder,
                              struct hf_error *err);

/*
 * Whether the client means another file than the one of that name here: it sees
 * other mounts, or the file was replaced meanwhile. A lock on ours would not
 * protect the client's. And the refusal then.
 */
bool hf_acquire_means_another(const struct hf_request *request, const struct hf_thing *file);
int hf_acquire_refuse_another(const struct hf_acquire_job *job, struct hf_error *err);
