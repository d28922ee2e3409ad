/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The guard: a process that has what keeps others out of a device, and gives it back when all of
 * the daemon is dead.
 *
 * Other programs are kept out by four means at once, as each of them respects another one: flock,
 * both lock files, and TIOCEXCL; the last stays set on a guest's terminal when its holder is dead,
 * for as long as the guest has it, and then nobody without privilege can open it any more. So it is
 * set, and the files are made, by a process that outlives the daemon's others by a moment: it has
 * a duplicate of each device, sees the end of its connection to the daemon, which is the end of
 * all who had that, clears the flags, puts the terminals' settings back, removes the files, and
 * ends. Its pid is the one in the files.
 *
 * The guard is made by hf_keeper_clone_worker, with a descriptor table of its own. Opening a device
 * may hang (a path on a dead file server): it is done by a child of the guard, with a deadline.
 * The guard is the one who knows what is held: a server that takes over asks it. If the guard is
 * killed the server makes another one, which is told what is held.
 *
 * The guard has a second: a child that is told of each hold before anything is set, and gives all
 * back if guard and daemon are killed, in whichever order. When the guard alone is killed the
 * server sees -EPIPE (the second has shut that direction down). It then makes another guard, sends
 * it an ADOPT for each hold, sends again what was not answered, and when all ADOPTs are answered
 * sends QUIT to the OLD socket and closes it: now the second ends. An old socket that is closed
 * without QUIT is the daemon's death to it.
 *
 * A server that no longer needs a device closes its descriptors first and then sends RELEASE: the
 * last close of a serial line may take half a minute, and is done by a child of the guard.
 *
 * Server and guard speak in records over a SEQPACKET socket; of what a request asks exactly one
 * answer comes. All of this is one program: records are structs, with a version.
 */

#include "console/uucp.h"

#include <termios.h>

enum hf_device_kind {
        HF_DEVICE_TTY,
        HF_DEVICE_SOCKET, /* a chardev of QEMU that listens: connected, nothing else to be done */
};

/* One held device. Plain data. The descriptor goes beside it. */
struct hf_hold {
        uint64_t id; /* the server's, never 0 */
        uint32_t kind;
        bool has_termios;
        bool exclusive;         /* TIOCEXCL was set by us */
        uint64_t fs, rdev;      /* who it is. A pts: st_dev of where its node is, and its number;
                                   another tty: 0, and its number; a socket: st_dev, st_ino */
        struct termios termios; /* as it was */
        struct hf_uucp uucp;
        char path[PATH_MAX];
};

/* Who stands against it, as far as can be known. */
struct hf_intruder {
        pid_t pid; /* 0: not known */
        uid_t uid;
        char program[64];
        char how[256]; /* "lock file /run/lock/LCK..pts_3", "flock", "TIOCEXCL", "has it open" */
};

enum hf_guard_op {
        HF_GUARD_TAKE = 1,
        HF_GUARD_RELEASE = 2,
        HF_GUARD_ADOPT = 3, /* a hold of a guard that is gone, with its descriptor */
        HF_GUARD_LIST = 4,  /* one HELD for each hold, with descriptors, then an answer */
        HF_GUARD_QUIT = 5,  /* ends without giving anything back: another guard has it all. It is
                               not answered */
        HF_GUARD_LOOK = 6,  /* who else has this device open? Also sets TIOCEXCL again */
        HF_GUARD_HELD = 7,  /* only as an answer: id is the hold's */
};

/* flags of TAKE */
#define HF_GUARD_EVICT 1u /* throws other programs out, where that is possible */

struct hf_guard_request {
        uint32_t version, op;
        uint64_t id;
        uint32_t flags;
        struct hf_hold hold; /* TAKE: path (what it is, is found out); ADOPT: all */
};

#define HF_INTRUDERS_MAX 16

struct hf_guard_reply {
        uint32_t version, op;
        uint64_t id;
        /*
         * 0, or a negative errno with text. -EBUSY: intruders[0] stands against it. -EALREADY: this
         * device is held as hold.id. -ENOTTY: neither a terminal nor a socket. -ETIMEDOUT.
         */
        int32_t result;
        struct hf_hold hold;
        uint32_t n_intruders;
        struct hf_intruder intruders[HF_INTRUDERS_MAX];
        char text[512]; /* of an error, for people; or a remark */
};

#define HF_GUARD_VERSION 1

/* Most requests that are worked on at once; further ones wait in the socket. */
#define HF_GUARD_JOBS_MAX 32

/* Most holds. Each is a descriptor in three processes. */
#define HF_GUARD_HOLDS_MAX 4096

struct hf_guard_settings {
        char lock_dir[PATH_MAX]; /* "": no lock files */
        bool privileged;
        uint32_t open_timeout_ms;
        pid_t swept; /* an earlier guard, dead: what is left of its lock files is removed; 0: none
                      */
};

/*
 * The guard's life, in the process that was made for it. fd: its end. Never returns. Descriptors
 * but 0, 1, 2 and fd are closed or not there.
 */
_Noreturn void hf_guard_serve(int fd, const struct hf_guard_settings *settings);

/*
 * The server's side. Sends a request, with a descriptor (ADOPT) or -1. -EAGAIN: the guard has too
 * many before it.
 */
int hf_guard_send(int fd, const struct hf_guard_request *request, int device_fd);

/*
 * The next answer, without waiting. 1 with *ret and *ret_fd (-1, or close-on-exec and the
 * caller's); 0: none is there; -EPIPE: the guard is gone; -EBADMSG.
 */
int hf_guard_receive(int fd, struct hf_guard_reply *ret, int *ret_fd);
