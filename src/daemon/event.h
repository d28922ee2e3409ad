/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Events: what happened to locks, for whoever listens, for the journal, and counted.
 *
 * An event is noted when what it tells of has been committed, and while that is being
 * carried out: nothing is told that did not happen. A server that is killed on the way
 * leaves the rest to the next one, which may note it again.
 *
 * Events are numbered one by one. The last of them are in a ring in the area, which
 * outlives the server, while somebody listens, and until the ring has gone
 * round once after that; otherwise they are only counted, and cost no memory. A
 * listener is a request that is never answered (EVENTS): its messages (session.h)
 * carry what was noted since the last one, and its session says how far
 * that is. Whoever does not read in time misses what the ring has lost meanwhile, and is told
 * how much; nobody else notices.
 *
 * Telling is a turn of the loop of its own, after the answers of the turn in which things happened;
 * of many listeners some are told in each, so that requests are served in between.
 */

#include "base/log.h"
#include "daemon/server.h"
#include "rpc/holdfast.h"

/* In the ring: an hour of a busy host, or a second of a torture. */
#define HF_EVENTS_KEPT 2048

/* The five strings of one, cut where they do not fit. */
#define HF_EVENT_STRINGS 976

struct hf_event_record {
        uint64_t number; /* stored last; not that of its place: nothing was noted */
        uint64_t time;   /* microseconds since the epoch */
        uint8_t uuid[16];
        int32_t pid;
        uint8_t kind; /* enum hf_holdfast_event_kind */
        uint8_t metadata;
        uint8_t shared;
        uint8_t unused;
        uint64_t reserved;
        char strings[HF_EVENT_STRINGS]; /* owner, via, lockspace, name, text, each with its NUL */
};

#define HF_EVENT_KINDS (HF_HOLDFAST_EVENT_STARTED + 1)

/* What was counted since the daemon's start. */
struct hf_counters {
        uint64_t events[HF_EVENT_KINDS]; /* by kind */
        uint64_t waited;                 /* requests whose wait has ended */
        uint64_t wait_usec;              /* how long they waited, together */
        uint64_t timed_out;              /* those of them that ended with nothing */
        uint64_t missed;                 /* events that listeners were too slow for */
};

struct hf_event_log {
        uint64_t first;      /* number of the first event of this daemon */
        uint64_t next;       /* and of the next one */
        uint64_t kept_until; /* up to which number they are noted */
        struct hf_counters counters;
        _Alignas(4096) struct hf_event_record records[HF_EVENTS_KEPT];
};

/*
 * Of a daemon that has just begun. Numbers begin with the time, so that those of a later
 * daemon are greater.
 */
void hf_event_init(struct hf_event_log *log);

/* About a hold, which is in the table still. text: for people, may be "". */
void hf_event_of_hold(struct hf_server *server, enum hf_holdfast_event_kind kind, uint32_t hold,
                      const char *text);

/*
 * About what is wanted: WAITING and REFUSED. owner: its index in the table, or 0: as the session
 * says. session may be NULL with an owner. metadata: not the content is wanted.
 */
struct hf_event_want {
        uint32_t owner;
        const struct hf_session *session;
        const char *lockspace; /* its path */
        const char *name;
        bool metadata, shared;
};

void hf_event_of_want(struct hf_server *server, enum hf_holdfast_event_kind kind,
                      const struct hf_event_want *want, const char *text);

/* About an owner and whatever it has: KILLED. */
void hf_event_of_owner(struct hf_server *server, enum hf_holdfast_event_kind kind, uint32_t owner,
                       const char *text);

/* STARTED: a server begins to serve, which is said at that level. */
void hf_event_of_start(struct hf_server *server, enum hf_log_level level, const char *text);

/* Counts a wait that has ended, with its locks or with nothing. */
void hf_event_waited(struct hf_server *server, uint64_t usec, bool timed_out);

struct hf_event_listener;

/* The procedure EVENTS; returns enum hf_outcome or a negative errno. */
int hf_event_listen(struct hf_session *session, uint64_t after, struct hf_error *err);

/* How many listen. */
unsigned int hf_event_listeners(const struct hf_server *server);

/* The procedure METRICS. */
void hf_metrics_answer(struct hf_session *session);
