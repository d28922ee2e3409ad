/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A raw client of virtlockd's wire, as small as it can be.
 *
 * It shares no line with src/rpc on purpose: a measuring tool that lives on the
 * thing it measures would speed up and slow down with it, and could not tell a
 * fault in our encoder from the right answer. Calls are encoded once, ahead of
 * the clock, and sent as ready bytes; between the two clock readings there is
 * one send and one receive.
 *
 * A load generator whose request is refused has nothing left to measure, so
 * every function here ends the program with a message on failure.
 */

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Header (28), two strings of a path's length, flags: a call never grows past this. */
#define CALL_MAX 9216

/* Replies on success are 28 bytes; an error reply carries three short strings. */
#define REPLY_MAX 65536

enum {
        PROC_REGISTER = 1,
        PROC_RESTRICT = 2,
        PROC_ACQUIRE = 6,
        PROC_RELEASE = 7,
};

/* Of holdfastd's own program. */
enum {
        OWN_CLIENT = 8,
        OWN_ACQUIRE_SET = 9,
};

/* One encoded call. The serial is patched in by the sender. */
struct call {
        size_t len;
        unsigned char bytes[];
};

/* What a reply says: status 0 is success; on error the code and the text. */
struct reply {
        uint32_t serial;
        uint32_t status;
        int32_t code;
        uint32_t first; /* word of a payload of success; 0: it has none */
        char text[512];
};

/* Each returns a call the caller frees with free(). `path` is the file to lock. */
struct call *call_register(pid_t owner, const char *name);
struct call *call_restrict(void);
struct call *call_acquire(const char *path);
struct call *call_release(const char *path);

/*
 * Of our own program: the connection stands for itself; and the file at `path` is waited for, for
 * as long as it takes, which is answered with 1.
 */
struct call *call_client(const char *name);
struct call *call_wait_for(const char *path);

/* Connects to the UNIX socket at `path`; returns a blocking descriptor. */
int wire_connect(const char *path);

/* Sends one call with this serial number. */
void wire_send(int fd, struct call *call, uint32_t serial);

/*
 * Receives one whole reply. Returns 0, or -EAGAIN when `flags` holds
 * MSG_DONTWAIT and nothing has arrived.
 */
int wire_receive(int fd, int flags, struct reply *reply);

/* Sends, receives, and insists on success. `what` names the step in the message. */
void wire_call(int fd, struct call *call, const char *what);

/* Ends the program unless the reply is a success for this serial. */
void wire_expect_ok(const struct reply *reply, uint32_t serial, const char *what);

/*
 * Sends the call to nobody and takes an answer. A process fresh from fork pays
 * for its first touch of each page; after this that is not part of a measured call.
 */
void wire_rehearse(struct call *call);
