/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the files of the work share. */

#include "daemon/server.h"
#include "daemon/work.h"
#include "storage/mounts.h"

/* A filesystem for which there is work. */
struct hf_place {
        struct hf_place *next;
        struct hf_place_key key;
        char *what;           /* for people */
        int worker;           /* its index; -1: none is busy there */
        unsigned int waiting; /* requests, which have a bound */
        struct hf_job *first, **end;
};

enum hf_place_kind {
        HF_PLACE_FILESYSTEM, /* number: of its device */
        HF_PLACE_DISK,       /* the same */
        HF_PLACE_PATH,       /* number: a hash; not known, and may be anywhere */
};

struct hf_job {
        struct hf_job *next; /* in its place's queue */
        struct hf_works *works;
        struct hf_place *place;
        int worker; /* -1: it waits for one */
        struct hf_order order;
        uint64_t client;
        uint32_t service;
        hf_work_done done; /* NULL: of a GIVE */
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
        } slots[HF_WORKERS_MAX];
        uint64_t last_number;
        unsigned int deleting; /* workers that remove a file */
};

/* The filesystem that an order is about. */
struct hf_place_key hf_place_of(struct hf_works *works, const struct hf_order *order);

/* Its record, which is made if there is none; NULL without memory. */
struct hf_place *hf_place_get(struct hf_works *works, struct hf_place_key key, const char *path);

/* Drops the record if nothing is to be done there. */
void hf_place_drop_unused(struct hf_works *works, struct hf_place *place);
