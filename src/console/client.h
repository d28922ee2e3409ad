/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A client: what is attached to a console by a connection.
 *
 * It is a reader of the console's ring with a position of its own, and a source of input. All that
 * has to survive a kill is here, in the area:
 *
 *  - how far it has read: the position in the valid one of two records, and the number of bytes
 *    that the kernel has stored beside it in the same call that took them (keeper/receipt.h);
 *  - what it has typed and the guest has not taken is in the kernel, in its socket and in the
 *    console's pipe;
 *  - of one that is the writer no more, how much of what is in its socket goes to the guest still.
 *    Before it is moved the pipe's filling is noted, so that a successor can tell how much was.
 *
 * Who is the writer is said by the console alone, in one word.
 */

#include "console/guard.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <systemd/sd-event.h>

struct hf_console;
struct hf_con_session;
struct hf_con_server;

/* Names are cut to this; they are for people. */
#define HF_CON_NAME_MAX 128
#define HF_CON_TEXT_MAX 1024

/* Who somebody is, at one moment. */
struct hf_con_who {
        uint32_t role; /* enum hf_console_role */
        pid_t pid;
        uid_t uid;
        char user[HF_CON_NAME_MAX], via[HF_CON_NAME_MAX], from[HF_CON_NAME_MAX];
        uint64_t since, last_input, behind, skipped;
};

struct hf_con_notice {
        uint64_t number;
        uint32_t kind; /* enum hf_console_notice_kind */
        uint64_t position, count;
        bool has_client, has_stranger;
        struct hf_con_who client;
        struct hf_intruder stranger;
        char text[HF_CON_TEXT_MAX];
};

/* As many wait for a client that does not read them; the oldest give way. */
#define HF_CON_NOTICES 8

struct hf_con_out {
        uint64_t position; /* before the kernel's count */
        struct iovec iov[2];
        struct mmsghdr vec;
};

/* Bits of `leaving`. */
#define HF_CON_LEAVING        (1ULL << 62) /* below: bytes in its socket that go to the guest */
#define HF_CON_LEAVING_MOVING (1ULL << 63) /* some of them are being moved */
#define HF_CON_LEAVING_BYTES  (HF_CON_LEAVING - 1)

struct hf_con_client {
        /* This server's own. */
        sd_event_source *source; /* of its data socket */
        uint32_t events;

        uint64_t token; /* 0: nothing is attached. Stored last */
        uint64_t console;
        int32_t data_fd;
        int32_t peer_fd; /* the client's end, until its answer has gone; -1 */
        uint64_t since, last_input, skipped;
        char user[HF_CON_NAME_MAX], from[HF_CON_NAME_MAX];
        bool eof;   /* it will type nothing more */
        bool deaf;  /* it takes nothing any more */
        bool ended; /* its stream was ended */
        _Atomic uint32_t out_index;
        struct hf_con_out out[2];
        _Atomic uint64_t leaving;
        uint64_t turn;        /* those that leave are served in this order */
        uint64_t pipe_before; /* while MOVING */
        uint64_t deadline;    /* CLOCK_MONOTONIC; what is not taken then is dropped */
        uint64_t not_written; /* bytes of it that were dropped */
        struct hf_con_who displaced_by;
        bool was_displaced;
        uint64_t notice_number; /* of the last one */
        uint64_t told;          /* number of the last one that went */
        struct hf_con_notice notices[HF_CON_NOTICES];
};

static inline uint64_t hf_con_client_leaving(const struct hf_con_client *client)
{
        return atomic_load_explicit(&client->leaving, memory_order_relaxed);
}

/* How far it has read. */
uint64_t hf_con_client_position(const struct hf_con_client *client);

/* Who it is now. */
void hf_con_client_who(const struct hf_con_session *session, const struct hf_console *console,
                       struct hf_con_who *ret);

/*
 * Prepares an attachment, of which nothing counts until `token` is stored. Its own end of the
 * stream goes with the answer.
 */
int hf_con_client_prepare(struct hf_con_session *session, struct hf_console *console,
                          uint64_t position, const char *from);

/* Begins to serve one that is there; in a successor again. */
int hf_con_client_watch(struct hf_con_session *session);

/* Sends what it has not got yet, as far as it takes it. */
void hf_con_client_push(struct hf_con_session *session);

/* Lets the loop tell of what it waits for, and nothing else. */
void hf_con_client_want(struct hf_con_session *session);

/* It is not the writer any more; what it has typed goes to the guest still, for so long. by: NULL
 * if nobody has taken its place. */
void hf_con_client_leave(struct hf_con_session *session, const struct hf_con_who *by,
                         uint64_t limit_usec);

/* Somebody waits for those of this console that leave: none has longer than that from now on. */
void hf_con_clients_hurry(struct hf_console *console, uint64_t limit_usec);

/* All of that is with the guest, or was dropped. */
void hf_con_client_left(struct hf_con_session *session);

/* After the death of a server: corrects what was being moved. */
void hf_con_client_recover(struct hf_con_session *session, uint64_t in_pipe);

/* Copies what a client says of itself, for terminals of others: '?' for all but plain ASCII. */
void hf_con_copy_plain(char *ret, size_t size, const char *text);

/* Adds a notice, and tells it as soon as it can be. */
struct hf_con_notice *hf_con_client_notice(struct hf_con_session *session, uint32_t kind);
void hf_con_client_tell(struct hf_con_session *session);

/* Frees what it has. */
void hf_con_client_clear(struct hf_con_session *session);
