/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * QEMU's monitor protocol, as far as is needed to stop a VM and to continue it, and to find its
 * consoles and to send breaks to them.
 *
 * The monitor sends a greeting; the client sends "qmp_capabilities" and then commands;
 * each is one JSON object on a line, and so are answers, with events in between.
 * A command carries an id by which its answer is known.
 *
 * A conversation never waits: bytes are fed to it, and it says what to send and when it has
 * ended. It asks for the VM's status first, so that it can tell what it has done from what
 * others had done before, and once more afterwards (not where it is about devices). QEMU answers
 * "stop" when what the guest has begun to write has been written, so on storage that hangs it does
 * not. A VM that is stopped may write all the same: a job copies its disk, or an export lets others
 * write it. To settle is to stop, and to know that there is none of these.
 *
 * The peer may be anything: lines that are too long are passed over, what is not
 * understood ends the conversation, and nothing that it sends makes it send more than
 * its few commands.
 */

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>

enum hf_qmp_goal {
        HF_QMP_STOP,
        HF_QMP_CONT,
        HF_QMP_QUIT,     /* QEMU ends, and its guest is not asked */
        HF_QMP_SETTLE,   /* stopped, and nothing else writes */
        HF_QMP_RESUME,   /* as CONT; also after an error of its disk, which is tried again then */
        HF_QMP_CHARDEVS, /* asks what its consoles are connected to: hf_qmp_begin_chardevs */
        HF_QMP_BREAK,    /* a break for the guest: hf_qmp_begin_break */
};

/* How a conversation ended, or stands. */
enum hf_qmp_state {
        HF_QMP_TALKING,
        HF_QMP_DONE,    /* the VM was brought there by us */
        HF_QMP_ALREADY, /* it was there before: stopped by somebody else, or running */
        /* CONT: stopped for another reason than "stop", left so. SETTLE: it still writes. */
        HF_QMP_OTHER,
        HF_QMP_FAILED, /* no monitor, or none that does so */
};

/* The longest line that is read; an answer has some dozen bytes, the greeting some hundred. */
#define HF_QMP_LINE_MAX 8192

/* More character devices than machines have; what is longer than this is passed over. */
#define HF_QMP_CHARDEVS_MAX 64
#define HF_QMP_NAME_MAX     127

/* One of QEMU's character devices. */
struct hf_qmp_chardev {
        char label[HF_QMP_NAME_MAX + 1];    /* what QEMU calls it: "serial0", or its id */
        char filename[HF_QMP_NAME_MAX + 1]; /* what it is: "pty:/dev/pts/3" */
};

struct hf_qmp_chardevs {
        size_t n;
        struct hf_qmp_chardev list[HF_QMP_CHARDEVS_MAX];
};

struct hf_qmp {
        enum hf_qmp_goal goal;
        enum hf_qmp_state state;
        bool commanded; /* "stop", "cont" or "quit" was handed out to be sent */
        unsigned int step;
        size_t used;                         /* of line */
        bool skipping;                       /* the rest of a line that is too long */
        struct hf_qmp_chardevs *chardevs;    /* the caller's */
        char command[HF_QMP_NAME_MAX + 128]; /* the one with an argument */
        char line[HF_QMP_LINE_MAX];
};

/* Begins a conversation: with all goals but those that have a function of their own. */
void hf_qmp_begin(struct hf_qmp *qmp, enum hf_qmp_goal goal);

/* The same; *ret is filled when it is DONE, and has to stay until then. */
void hf_qmp_begin_chardevs(struct hf_qmp *qmp, struct hf_qmp_chardevs *ret);

/*
 * The same, for the guest behind the character device of that label. DONE says that QEMU has sent
 * it. FAILED at once where no device can have that name.
 */
void hf_qmp_begin_break(struct hf_qmp *qmp, const char *label);

/* The path of the terminal that a character device is, within its filename; NULL: it is none. */
const char *hf_qmp_chardev_pty(const struct hf_qmp_chardev *chardev);

/*
 * Takes in bytes of the peer up to the end of what has to be answered; returns how many were
 * taken. *ret_command is then what is to be sent, a text that stays, or NULL.
 * Once the state is not TALKING any more everything is taken, and nothing comes of it.
 */
size_t hf_qmp_feed(struct hf_qmp *qmp, const char *bytes, size_t len, const char **ret_command);

/* A connection to a monitor, and its conversation. */
struct hf_qmp_link {
        int fd; /* -1: none */
        struct hf_qmp talk;
};

/* Connects without waiting; a monitor that cannot be had at once is FAILED. */
void hf_qmp_connect(struct hf_qmp_link *link, const char *path, enum hf_qmp_goal goal);

/*
 * The same for the goals about devices. To send a break in a loop: link.fd is to be watched for
 * reading, and serve called, until the state is not TALKING; a monitor that others use makes it
 * last, so there has to be a deadline. Then close.
 */
void hf_qmp_connect_chardevs(struct hf_qmp_link *link, const char *path,
                             struct hf_qmp_chardevs *ret);
void hf_qmp_connect_break(struct hf_qmp_link *link, const char *path, const char *label);

/* Goes on with what there is to be read, without waiting. */
void hf_qmp_serve(struct hf_qmp_link *link);

/* Ends a connection. */
void hf_qmp_close(struct hf_qmp_link *link);
