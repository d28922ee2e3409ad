/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * An attachment of the command: what is typed goes to the guest, what the guest prints to standard
 * output, and our keys, signals and notices do what they are for. Nothing in it waits, so that the
 * key that leaves works whatever the guest, the reader or the daemon does not do.
 *
 * Without a terminal it is a pipe: keys mean nothing, and the end of the input ends it.
 */

#include "cli/console-domain.h"
#include "cli/console-output.h"
#include "cli/console-terminal.h"
#include "cli/console.h"

/* Between what is typed and a guest that does not read: as much as anybody types, or pastes. */
#define HF_CONSOLE_INPUT_MAX 65536

/* How it ended. */
enum hf_console_ending {
        HF_CONSOLE_GOES_ON,
        HF_CONSOLE_OVER, /* with session->status */
        HF_CONSOLE_LOST, /* the daemon is gone */
};

struct hf_console_session {
        const struct hf_console_given *given;
        const struct hf_console_target *target;
        struct hf_domain_console domain; /* of libvirt, if path is set: what the target means */
        struct hf_terminal terminal;
        struct hf_console_output output;
        struct hf_console_keys keys;
        int signal_fd;
        struct holdfast_console *console;
        bool writer;
        bool no_size;           /* the device has none */
        bool lost;              /* the daemon, as the notices say */
        bool stream_ended;      /* no byte comes any more */
        bool ended;             /* the console, as a notice said */
        bool told;              /* that keys go nowhere */
        bool dropping;          /* what is typed, as the guest does not read; it was told */
        uint64_t skip_at, skip; /* so many bytes are missing from there on; 0: none */
        char *input;
        size_t input_have;
        bool input_ended;
        int64_t leave_at; /* milliseconds of the monotonic clock; 0: not known yet */
        enum hf_console_ending ending;
        int status;
};

/* ---- console-session.c ------------------------------------------------------------------ */

/* Until it ends, with a console that is attached. */
enum hf_console_ending hf_console_session_run(struct hf_console_session *session);

/* Ends it with that status. */
void hf_console_session_end(struct hf_console_session *session, int status);

/* Waits up to so long, and minds signals and the key that leaves. */
enum hf_console_ending hf_console_session_pause(struct hf_console_session *session, int timeout_ms);

/* hf_terminal_say, at this place of the output. */
#define hf_console_say(session, ...)                                                               \
        hf_terminal_say(&(session)->terminal, (session)->output.fresh, __VA_ARGS__)

/* ---- console-commands.c ----------------------------------------------------------------- */

void hf_console_do(struct hf_console_session *session, enum hf_console_command command);

/* All notices that are there. */
void hf_console_take_notices(struct hf_console_session *session);

/* Tells the guest how large the terminal is, if it may and can be told. */
void hf_console_send_size(struct hf_console_session *session);
