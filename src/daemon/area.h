/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The area: what the next server has to know besides the lock table, in memory
 * that outlives this one (keeper/keeper.h). It says what each descriptor is.
 *
 * Everything in it has one writer, the server. What is read of it after a kill
 * is written before the store that makes it valid: for a session its word, for
 * a listener the count, for all of it `complete`. A worker's record has a second
 * one, the worker, which says by its last store that it has written.
 */

#include "daemon/event.h"
#include "daemon/session.h"
#include "daemon/work.h"

#include <sys/un.h>

/* Of the layout of the area and of the lock table: with every change of either another one. */
#define HF_STATE_VERSION 6U

/* A session, and its buffers on pages of their own. */
struct hf_session_slot {
        _Alignas(4096) struct hf_session session;
        _Alignas(4096) uint8_t request[HF_EXCHANGE_BUFFER(HF_RPC_REQUEST_KEPT)];
        _Alignas(4096) uint8_t answer[HF_SESSION_ANSWER_MAX];
};

/* A listening socket. */
struct hf_listener_record {
        int32_t fd;
        uint32_t name; /* in the table of names in listener.c */
        /* Of one that was made here, to be removed with it; "": passed in. */
        char path[sizeof(((struct sockaddr_un *)NULL)->sun_path)];
};

/* A parking lot (parking.h). Zeros: there is none. */
struct hf_lot_record {
        int32_t fd;      /* where descriptors are parked */
        uint32_t number; /* in its name */
};

/*
 * Filesystems whose leases are guarded: those of NFS servers with locks on them, more than a host
 * mounts for its VMs.
 */
#define HF_LEASES_MAX 24

/* One of them. All times in CLOCK_BOOTTIME microseconds, each stored by itself. */
struct hf_lease_record {
        uint64_t dev;      /* 0: free. Stored last */
        uint64_t lease;    /* how long it lasts */
        uint64_t last;     /* when the last question was sent that was answered */
        uint64_t asked;    /* when the first one after that was sent; 0: there was none */
        uint64_t sent;     /* when the latest was */
        uint64_t slept;    /* how long the machine had slept since its boot, at that answer */
        uint64_t doubted;  /* when its locks were last not surely ours; 0: they are */
        uint32_t cursor;   /* the hold whose lock was looked at last */
        uint32_t asked_by; /* the one by whose lock the server was asked last */
        uint32_t unproved; /* locks that are to be looked at, as the answer came late */
        uint32_t by_lock;  /* only an access by a lock renews it (NFSv4.0) */
};

struct hf_area {
        _Atomic uint32_t complete; /* the rest is true */
        int32_t table_fd;
        bool table_is_kept;           /* in the state file */
        int32_t pid_fd, stock_pid_fd; /* of the pid files; -1: none */
        int32_t report_fd;            /* for who waits for the daemon to serve; -1: nobody */
        uint64_t next_client_id[HF_SERVICE_KINDS];
        uint64_t next_client; /* number of the last client owner (owner.h) */
        uint64_t next_ticket; /* number of the last set (acquire-set.h) */
        uint32_t n_listeners;
        struct hf_listener_record listeners[HF_LISTENERS_MAX];
        struct hf_lot_record lots[2]; /* one, and while it is being emptied, that beside it */
        _Atomic uint32_t lot;         /* which of them is in use */
        uint32_t last_serial;         /* that a parked descriptor was given */
        struct hf_lease_record leases[HF_LEASES_MAX];
        struct hf_worker workers[HF_WORKERS_MAX];
        struct hf_event_log events;
        uint32_t n_slots;
        uint32_t n_touched; /* slots from here on were never used, and are no memory yet */
        struct hf_session_slot slots[];
};

/* Bytes of an area for the connections that the configuration allows. */
size_t hf_area_size(const struct hf_config *config);

/* An empty area in zeros of that size. */
void hf_area_init(struct hf_area *area, size_t size);

/* Its size has grown, or is as it was. */
void hf_area_set_size(struct hf_area *area, size_t size);

/* Everything is there that the area has to tell of. */
void hf_area_complete(struct hf_area *area);
bool hf_area_is_complete(const struct hf_area *area);
