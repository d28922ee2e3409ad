/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Transcripts: what guests print, in files, written by a process of its own.
 *
 * A disk that is full or does not answer must delay neither a guest nor a client, so the server
 * only offers bytes (it is a reader of the ring like any client) over a socket that never makes it
 * wait, and a process writes them. Records keep their borders (SOCK_SEQPACKET), so that neither
 * side's SIGKILL leaves half of one.
 *
 * A console's log is DIR/VM/DEVICE.log, raw bytes; DEVICE.log.times beside it says what they are
 * (console/transcript-times.h). Both are rotated together at max_size: DEVICE.log.1 and
 * DEVICE.log.1.times, ... up to max_backups. What could not be written is noted in the file by one
 * line in brackets that says how many bytes are missing.
 *
 * The position up to which a file goes is in the files, so a writer that was killed goes on where
 * it was: it tells the server from where on it wants bytes. A record of bytes that are in the file
 * already is skipped, one that leaves a hole is dropped and answered, and the server begins again
 * at what is written. What is missing for good the server says by a GAP. So each byte is in the
 * file once, whoever was killed; and while a disk is full the ring keeps what it can.
 */

#include "console/ring.h"

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hf_transcript_settings {
        char dir[PATH_MAX]; /* "": nothing is logged */
        uint64_t max_size;  /* bytes of one file; 0: no limit */
        uint32_t max_backups;
};

/* Server to writer: a record is a header and `len` bytes. */
enum hf_transcript_op {
        HF_TRANSCRIPT_OPEN = 1,  /* bytes: "VM/DEVICE"; position: the head; run */
        HF_TRANSCRIPT_BYTES = 2, /* that came at usec, from position on */
        HF_TRANSCRIPT_GAP = 3,   /* no bytes: `count` are missing at position, since usec or so */
        HF_TRANSCRIPT_CLOSE = 4,
};

/* Bytes of one record at most: what always fits an empty socket. */
#define HF_TRANSCRIPT_PIECE_MAX 16384

/* Of "VM/DEVICE". */
#define HF_TRANSCRIPT_NAME_MAX (2 * (NAME_MAX + 1))

struct hf_transcript_header {
        uint32_t op, len;
        uint64_t id; /* of the console */
        uint64_t position;
        uint64_t usec;
        uint64_t count;
        uint64_t run; /* made anew with each ring: positions of another run have nothing to do
                         with these */
};

/*
 * Writer to server, a record each: to every OPEN, when it begins to fail or has done so, and when
 * a record left a hole.
 */
struct hf_transcript_answer {
        uint64_t id;
        uint64_t written;    /* up to this position it is in the file: send from here on */
        int32_t failed;      /* 0, or the negative errno of what goes wrong now: send nothing */
        bool opened;         /* the answer to OPEN; others that came before it mean nothing */
        char path[PATH_MAX]; /* of the file */
};

/* The two ends, 0 the server's. Both are close-on-exec. Negative errno. */
int hf_transcript_pair(int ret[2]);

/* The writer's life, in a process made for it (keeper/worker.h). fd: its end. Never returns. */
_Noreturn void hf_transcript_serve(int fd, const struct hf_transcript_settings *settings);

/* The server's side, none of which ever waits. */

/*
 * What a console's log is called, from any names: what is no good in a file name is escaped. vm ""
 * is "by-path".
 */
void hf_transcript_name(const char *vm, const char *device, char ret[HF_TRANSCRIPT_NAME_MAX]);

/* The next answer. 1, 0: none is there; -EPIPE: the writer is gone; -EBADMSG. */
int hf_transcript_receive(int fd, struct hf_transcript_answer *ret);

/* One console's way into its log. Plain data, for the area. */
struct hf_transcript_link {
        uint64_t id, run;
        uint64_t position; /* of what is offered next */
        bool asked;        /* OPEN was sent */
        bool opened;       /* and answered */
        int32_t failed;    /* as in the answer */
        uint64_t stuck;    /* since when the writer takes nothing; 0: it does */
        char path[PATH_MAX];
};

/* With a ring that is new: run is a random number. */
void hf_transcript_link_init(struct hf_transcript_link *link, uint64_t id, uint64_t run);

/*
 * For a new writer, which knows nothing of it; and in a new server, which cannot know what answers
 * the last one had read. Asks anew from where on bytes are wanted.
 */
void hf_transcript_begin(struct hf_transcript_link *link);

/*
 * Offers what the ring has, with an OPEN before it where that is due; name as from
 * hf_transcript_name. now: microseconds since the epoch. Returns 0 when there is nothing to be
 * done; 1 when there is more to offer, later; -EAGAIN when the socket is full, wait until it is
 * writable; -EPIPE when the writer is gone.
 */
int hf_transcript_offer(struct hf_transcript_link *link, int fd, const char *name,
                        const struct hf_ring *ring, uint8_t *bytes, uint64_t now);

/* The writer has said that, of this console. */
void hf_transcript_heard(struct hf_transcript_link *link,
                         const struct hf_transcript_answer *answer);

/*
 * It comes to its end: offers what is left, and then CLOSE. 1: done, or it fails, which is not
 * waited for; 0: later; -EAGAIN and -EPIPE as above.
 */
int hf_transcript_finish(struct hf_transcript_link *link, int fd, const char *name,
                         const struct hf_ring *ring, uint8_t *bytes, uint64_t now);

/* A writer that takes nothing for so long fails: its disk does not answer. */
#define HF_TRANSCRIPT_STUCK_USEC (5 * UINT64_C(1000000))

/* 0, or the negative errno of why it fails now (-ETIMEDOUT: as above). */
int hf_transcript_fails(const struct hf_transcript_link *link, uint64_t now);
