/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef HOLDFAST_CONSOLE_H
#define HOLDFAST_CONSOLE_H

/*
 * Consoles: what a guest prints and reads, with one writer and any number of watchers. They belong
 * to holdfast-consoled, which has the guests' terminals to itself; a session's is started when it
 * is needed.
 *
 *     struct holdfast_console_params params;
 *     struct holdfast_console *console;
 *
 *     holdfast_console_params_init(&params);
 *     params.vm = "web1";
 *     if (holdfast_console_attach(&params, &console, &error) < 0)
 *             ...
 *     read(holdfast_console_fd(console), ...);
 *
 * The rules of holdfast.h hold here: negative errno and *err, outputs only on success, one object,
 * one thread at a time.
 */

#include <holdfast/holdfast.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Flags of holdfast_console_attach. */
#define HOLDFAST_CONSOLE_WATCH     1u /* read only */
#define HOLDFAST_CONSOLE_FORCE     2u /* take it from its writer, and from other programs */
#define HOLDFAST_CONSOLE_KEEP      4u /* it stays held when nobody is attached any more */
#define HOLDFAST_CONSOLE_ONLY_HELD 8u /* only one that is held already */

enum holdfast_console_state {
        HOLDFAST_CONSOLE_HELD = 1,
        HOLDFAST_CONSOLE_OPENING = 2,
        HOLDFAST_CONSOLE_BUSY = 3,
        HOLDFAST_CONSOLE_ENDED = 4
};

/* Somebody who is attached. */
struct holdfast_console_client {
        int writer;
        pid_t pid;
        uid_t uid;
        const char *user;
        const char *via;
        const char *from;    /* the host that it came from by ssh, as it said; "": this one */
        uint64_t since;      /* microseconds since the epoch, as all times here */
        uint64_t last_input; /* 0: none yet */
        uint64_t behind;     /* bytes */
        uint64_t skipped;    /* bytes */
};

/* A program, not one of ours, that has the device or is in the way. */
struct holdfast_console_stranger {
        pid_t pid; /* 0: not known */
        uid_t uid;
        const char *program;
        const char *how;
};

/* A console. Strings and arrays are the library's; "" where there is nothing to say. */
struct holdfast_console_info {
        uint64_t id;
        enum holdfast_console_state state;
        const char *text; /* why it is busy or has ended */
        const char *vm;
        const char *device;
        unsigned char uuid[16];
        pid_t pid; /* of the VMM; 0: not known */
        const char *path;
        int registered;
        uint64_t since;
        uint64_t head, first, written; /* as in the daemon's protocol, rpc/console.x */
        int log_state;                 /* 0 off, 1 on, 2 failing */
        const char *log_text;
        const char *log;
        const struct holdfast_console_client *clients;
        size_t n_clients;
        size_t n_more_clients; /* that are not among them */
        const struct holdfast_console_stranger *strangers;
        size_t n_strangers;
};

struct holdfast_console_params {
        size_t size; /* set by holdfast_console_params_init */
        const char *vm, *device, *path;
        unsigned char uuid[16]; /* with path: what that is; zeros: not known */
        pid_t pid;
        unsigned int flags;
        unsigned int replay; /* lines printed before */
        unsigned int rows, columns;
        const char *via;  /* the program, for people; NULL: its name */
        const char *from; /* NULL: what SSH_CONNECTION says */
};

static inline void holdfast_console_params_init(struct holdfast_console_params *params)
{
        memset(params, 0, sizeof(*params));
        params->size = sizeof(*params);
}

struct holdfast_console;

/*
 * Attaches, by vm and device, or path. This user's daemon is asked first, which is started where
 * it does not run; then the system's, for a console that it has already. -EBUSY with
 * HOLDFAST_E_BUSY when there is a writer, or another program has the device: *err says who and
 * since when, and its sys is 0 for a writer, EBUSY for another program. -ENOENT: no such VM,
 * device or path is known here. -ENOTTY: the path is no terminal and no socket.
 */
int holdfast_console_attach(const struct holdfast_console_params *params,
                            struct holdfast_console **ret, struct holdfast_error *err);
void holdfast_console_free(struct holdfast_console *console); /* detaches; NULL is fine */

/* As it was when we attached. */
const struct holdfast_console_info *holdfast_console_info(const struct holdfast_console *console);

/* The stream of bytes, non-blocking, the library's; shut down at the console's end. */
int holdfast_console_fd(const struct holdfast_console *console);

/* Positions of its first byte, and of the first one that is no replay. */
uint64_t holdfast_console_position(const struct holdfast_console *console);
uint64_t holdfast_console_live(const struct holdfast_console *console);

/* When the byte at a position of the replay came; 0: not known. */
uint64_t holdfast_console_time(const struct holdfast_console *console, uint64_t position);

enum holdfast_console_notice_kind {
        HOLDFAST_CONSOLE_DISPLACED = 1,
        HOLDFAST_CONSOLE_SKIPPED = 2,
        HOLDFAST_CONSOLE_IS_ENDED = 3,
        HOLDFAST_CONSOLE_STRANGER = 4,
        HOLDFAST_CONSOLE_WRITER = 5,
        HOLDFAST_CONSOLE_BACK = 6
};

/* What happened. Strings are the library's, until the next call. */
struct holdfast_console_notice {
        size_t size;       /* set by the caller */
        unsigned int kind; /* others may come */
        uint64_t position, count;
        const char *text; /* for people */
        /* Who, or NULL: */
        const struct holdfast_console_client *client;
        const struct holdfast_console_stranger *stranger;
};

/* Readable when there is a notice, or the daemon is gone. */
int holdfast_console_notice_fd(const struct holdfast_console *console);

/* 1 with *ret, 0: none is there now. -EPIPE: the daemon is gone, or has closed the connection. */
int holdfast_console_next_notice(struct holdfast_console *console,
                                 struct holdfast_console_notice *ret, struct holdfast_error *err);

/* Writer only: -EPERM for others. -EOPNOTSUPP: this device has no such thing. */
int holdfast_console_break(struct holdfast_console *console, struct holdfast_error *err);
int holdfast_console_resize(struct holdfast_console *console, unsigned int rows,
                            unsigned int columns, struct holdfast_error *err);

/* Becomes the writer; flags: FORCE. -EBUSY as in attach. And a watcher. */
int holdfast_console_take(struct holdfast_console *console, unsigned int flags,
                          struct holdfast_error *err);
int holdfast_console_yield(struct holdfast_console *console, struct holdfast_error *err);

/* Flag of holdfast_console_list: look now for other programs that have the devices open. */
#define HOLDFAST_CONSOLE_LIST_STRANGERS 1u

/*
 * Calls each for every console of this user's daemon, or the system's where that lets us look.
 * What each returns other than 0 ends it and is returned. HOLDFAST_E_NO_DAEMON: nobody serves.
 */
int holdfast_console_list(unsigned int flags,
                          int (*each)(void *ctx, const struct holdfast_console_info *info),
                          void *ctx, struct holdfast_error *err);

struct holdfast_console_registration {
        size_t size; /* set by the caller */
        const char *vm, *device, *path;
        unsigned char uuid[16];
        pid_t pid;           /* of the VMM: held until it is dead */
        const char *monitor; /* its QMP socket, or NULL */
        const char *chardev; /* what QEMU calls the device there, or NULL */
};

/* Has a console held from now on. 1: held; 0: another program has it, which *err says. */
int holdfast_console_register(const struct holdfast_console_registration *registration,
                              struct holdfast_error *err);

/*
 * Gives a console up when its clients have left, at once with FORCE. Either vm and device, or
 * path. -ENOENT: it is not held.
 */
int holdfast_console_forget(const char *vm, const char *device, const char *path,
                            unsigned int flags, struct holdfast_error *err);

#ifdef __cplusplus
}
#endif

#endif
