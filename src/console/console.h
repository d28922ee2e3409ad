/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The registry: consoles that are held, or are to be.
 *
 * A console is one thing, the terminal or the socket behind all paths to it. Registered ones are
 * held until their VM is dead; the others for as long as somebody is attached, or for good
 * where that was asked for. When the device has ended, the console stays for those who read the
 * rest of it.
 */

#include "base/error.h"
#include "console/client.h"
#include "console/ring.h"
#include "console/transcript.h"

#include <sys/un.h>

struct hf_console {
        /* This server's own. */
        struct hf_con_server *server;
        sd_event_source *source, *vmm_source, *break_source;
        uint32_t events;
        uint8_t *bytes;     /* of the ring */
        void *monitor_call; /* a break that is on its way by the monitor */

        uint64_t id;    /* 0: free. Stored last */
        uint32_t state; /* enum hf_console_state; OPENING before the first try has ended */
        int32_t result; /* of the last try to take it: 0 or a negative errno */
        uint64_t tried; /* when that ended, CLOCK_MONOTONIC */
        char text[HF_CON_TEXT_MAX];
        struct hf_intruder intruder;                         /* that stood in the way then */
        bool want_take, want_release, want_adopt, want_look; /* of the guard */
        uint32_t take_flags;
        uint64_t blocked_by;      /* a console that has to be given back before; 0: none */
        uint32_t asked;           /* enum hf_guard_op that it is asked for now; 0: nothing */
        struct mmsghdr asked_vec; /* msg_len: it has been sent */
        struct hf_hold hold;
        bool held;       /* by the guard: hold is true */
        uint64_t looked; /* when strangers were last looked for, CLOCK_MONOTONIC */
        uint32_t n_strangers;
        struct hf_intruder strangers[HF_INTRUDERS_MAX];

        bool registered, keep, forgotten;
        char vm[HF_CON_NAME_MAX * 2], device[HF_CON_NAME_MAX], chardev[HF_CON_NAME_MAX];
        uint8_t uuid[16];
        char path[PATH_MAX], alias[PATH_MAX]; /* alias: another path to it, named last */
        char monitor[sizeof(((struct sockaddr_un *)NULL)->sun_path)];
        pid_t pid;
        uint64_t pid_start;
        int32_t vmm_fd; /* pidfd, -1 */

        int32_t fd; /* the device */
        int32_t out_pipe[2], in_pipe[2];
        bool plain_read, plain_write; /* this kernel does not splice terminals */
        uint32_t plain_at, plain_end; /* of what came out of in_pipe then, the rest */
        uint8_t plain[256];
        uint64_t since; /* microseconds since the epoch */
        uint64_t written;
        _Atomic uint64_t writer; /* token of a client; 0 */
        uint64_t last_turn;

        bool logged; /* the transcript has all of it */
        struct hf_transcript_link log;

        struct hf_ring ring;
};

/* How a console is named. */
struct hf_con_name {
        const char *vm, *device, *path, *chardev, *monitor;
        const uint8_t *uuid;
        pid_t pid;
};

struct hf_console *hf_console_by_id(struct hf_con_server *server, uint64_t id);
struct hf_console *hf_console_by_path(struct hf_con_server *server, const char *path);

/* vm: name or uuid in text. device "": the only one, or the first serial one. Ended ones are not
 * found. */
struct hf_console *hf_console_by_name(struct hf_con_server *server, const char *vm,
                                      const char *device);

/* A new one, OPENING. -ENOBUFS: there are as many as may be. */
int hf_console_new(struct hf_con_server *server, const struct hf_con_name *name,
                   struct hf_console **ret);

/* Asks the guard to take it (once more). flags: HF_GUARD_EVICT. */
void hf_console_take(struct hf_console *console, uint32_t flags);

/* The guard's answer: held, with a descriptor; or not. */
void hf_console_taken(struct hf_console *console, const struct hf_hold *hold, int fd);
/* The same, but the descriptor did not come, as our table is full: it is given back. */
void hf_console_unusable(struct hf_console *console, const struct hf_hold *hold);
void hf_console_refused(struct hf_console *console, int result, const char *text,
                        const struct hf_intruder *intruder);
void hf_console_released(struct hf_console *console);

/* It is the same thing as another console that is held, by another path. */
void hf_console_same(struct hf_console *console, uint64_t id);

/* Says whose it is, and that it is held until that is dead. */
int hf_console_register(struct hf_console *console, const struct hf_con_name *name,
                        struct hf_error *err);

/* There is nothing more to come from it; its clients read what is left. */
void hf_console_end(struct hf_console *console, const char *format, ...)
        __attribute__((format(printf, 2, 3)));

/* Nobody may want it any more: gives it up, and frees it, where that is so. */
void hf_console_settle(struct hf_console *console);

/* Goes on with it in a successor. */
int hf_console_adopt(struct hf_console *console, struct hf_con_server *server);

/* Frees what this server has of it. */
void hf_console_drop(struct hf_console *console);

/* Lets the loop tell of the device. */
int hf_console_watch(struct hf_console *console);

/* In a successor: what was on its way goes on, also where nothing new comes. */
void hf_console_resume(struct hf_console *console);

/* The last that can be had of it. */
void hf_console_take_rest(struct hf_console *console);

/* A client has typed, or has closed its stream; and whether that is to be looked at now. */
void hf_console_input(struct hf_console *console, struct hf_con_session *session);
bool hf_console_wants_input(const struct hf_console *console, const struct hf_con_session *session);

/* The transcript needs nothing more of it. */
bool hf_con_transcript_has_all(const struct hf_console *console);

/* Moves what was typed, as far as it goes. */
void hf_console_pump(struct hf_console *console);

/* Its clients, one after another: NULL to begin with. */
struct hf_con_session *hf_console_next_client(const struct hf_console *console,
                                              const struct hf_con_session *after);
struct hf_con_session *hf_console_writer(const struct hf_console *console);
static inline uint64_t hf_console_writer_token(const struct hf_console *console)
{
        return atomic_load_explicit(&console->writer, memory_order_relaxed);
}

bool hf_console_is_writer(const struct hf_console *console, const struct hf_con_session *session);

/* Makes it the writer, in the place of who was. */
void hf_console_set_writer(struct hf_console *console, struct hf_con_session *session);

/* The connection of a client has ended: what it has typed goes to the guest still. */
void hf_console_leave(struct hf_console *console, struct hf_con_session *session);

/* Held no longer than its clients stay; with HF_CONSOLE_ATTACH_FORCE not even that. */
void hf_console_forget(struct hf_console *console, uint32_t flags);

/* Whether it is a serial line of ours, which knows breaks itself. */
bool hf_console_is_line(const struct hf_console *console);

/* What a device may be able to do. -EOPNOTSUPP with *err. */
int hf_console_can_break(const struct hf_console *console, struct hf_error *err);
void hf_console_break(struct hf_console *console);
void hf_console_stop_break(struct hf_console *console);

/* In a successor: one that was under way ends. */
void hf_console_recover_break(struct hf_console *console);
/*
 * The same by the VM's monitor, where one is known. 0: it has been sent; 1: not yet, those that
 * wait are served again when it has; or a negative errno. asker: of the session. *asked, of its
 * request: outlives this server, so that no break is sent twice.
 */
bool hf_console_has_monitor(const struct hf_console *console);
int hf_console_monitor_break(struct hf_console *console, uint64_t asker, bool *asked,
                             struct hf_error *err);
void hf_console_stop_monitor(struct hf_console *console);

int hf_console_resize(struct hf_console *console, uint32_t rows, uint32_t columns,
                      struct hf_error *err);

/* "the console of web1 (serial0)", or "the console /dev/pts/3". */
void hf_console_title(const struct hf_console *console, char *ret, size_t size);

/* "anna (pid 4711, from 10.0.0.5, since 10:04, idle 2 min, holdfast console)". */
void hf_con_who_text(const struct hf_con_who *who, uint64_t now, char *ret, size_t size);
