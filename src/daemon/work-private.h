/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the files of the work share. */

#include "daemon/area.h"
#include "daemon/server.h"
#include "daemon/work.h"
#include "storage/mounts.h"

/* A filesystem for which there is work. */
struct hf_place {
        struct hf_place *next;
        struct hf_place_key key;
        char *what;                               /* for people */
        int worker;                               /* its index; -1: none is busy there */
        unsigned int waiting;                     /* requests, which have a bound */
        struct hf_job *first, **gives_end, **end; /* GIVEs, then requests */
};

struct hf_job {
        struct hf_job *next; /* in its place's queue */
        struct hf_works *works;
        struct hf_place *place;
        int worker; /* -1: it waits for one */
        int lost;   /* workers that were killed before they had done it */
        struct hf_order order;
        uint64_t client;
        uint32_t service;
        hf_work_done done; /* NULL: of a GIVE, and of what the guard is told of */
        void *data;
        uint64_t begin; /* CLOCK_MONOTONIC microseconds */
        sd_event_source *deadline;
};

struct hf_works {
        struct hf_server *server;
        struct hf_keeper *keeper;
        struct hf_mounts *mounts; /* NULL: nothing is known to be local */
        sd_event_source *mounts_watch;
        sd_event_source *soon, *retry; /* look after what could not be started, or watched */
        struct hf_place *places;
        struct {
                sd_event_source *watch;
                struct hf_job *job; /* NULL: nobody waits, or a GIVE */
                int fd;             /* that it has sent */
                bool adopted;       /* made by an earlier server, which may have begun to use it */
        } slots[HF_WORKERS_MAX];
        uint64_t last_number;
        unsigned int adopted;           /* workers of earlier servers */
        unsigned int deleting;          /* workers that remove a file */
        bool gives[HF_TABLE_LOCKS_MAX]; /* locks that are being given back, or wait for it */
};

static inline uint32_t hf_worker_state(const struct hf_worker *worker)
{
        return atomic_load_explicit(&worker->state, memory_order_acquire);
}

static inline bool hf_work_is_guards(enum hf_work_kind kind)
{
        return kind >= HF_WORK_RENEW;
}

/* Whether a worker of that kind has our descriptors. */
static inline bool hf_work_shares(enum hf_work_kind kind)
{
        return kind == HF_WORK_GIVE || kind == HF_WORK_RENEW || kind == HF_WORK_PROVE;
}

static inline struct hf_worker *hf_worker_at(struct hf_works *works, int index)
{
        return &works->server->area->workers[index];
}

/* work.c */

/* CLOCK_MONOTONIC. */
uint64_t hf_work_now_usec(void);

/* What could not be done is tried again after a while; what is not to be done from here, soon. */
void hf_work_retry_later(struct hf_works *works);
void hf_work_go_on_soon(struct hf_works *works);

/* Ends a job with what came of it. */
void hf_job_tell(struct hf_job *job, const struct hf_result *result);

/* Puts a job into its place's queue once more. */
void hf_job_again(struct hf_job *job);

/* The same, where it turned out to be about another filesystem. Without memory it is told so. */
void hf_job_move(struct hf_job *job);

/* Begins what can be begun. */
void hf_work_start_all(struct hf_works *works);

/* worker.c */

/* A free record for a worker there; -1: there is none. */
int hf_worker_find_free(struct hf_works *works, const struct hf_place *place);

/* Makes the worker for a job, in a free record. Negative errno: there is no such process. */
int hf_worker_launch(struct hf_works *works, int index, struct hf_job *job);

/* Sees to workers that are not watched: those that have ended are done with. */
void hf_workers_look_after(struct hf_works *works);

/* work-end.c: workers and locks that would hold up the end of the daemon are left behind. */
void hf_work_let_go(struct hf_works *works);

/* work-place.c */

/*
 * The filesystem that an order is about, as far as it is known. *ret_guessed: that of the path's
 * directory, unless the path is a symbolic link; NULL: no guess.
 */
struct hf_place_key hf_place_of(struct hf_works *works, const struct hf_order *order,
                                bool *ret_guessed);

/* Its record, which is made if there is none; NULL without memory. */
struct hf_place *hf_place_get(struct hf_works *works, struct hf_place_key key, const char *path);

/* Puts a job into its place's queue, and takes it out. */
void hf_place_enqueue(struct hf_job *job);
void hf_place_dequeue(struct hf_job *job);

/* Drops the record if nothing is to be done there. */
void hf_place_drop_unused(struct hf_works *works, struct hf_place *place);
