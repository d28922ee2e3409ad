/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The guard's parts. Three kinds of processes: the guard, which never waits for a device; its
 * children, one for each request that may (jobs); and its second (guard.h).
 *
 * A job of TAKE works in steps, so that whoever is killed in between, somebody is left who
 * undoes it:
 *
 *     job       opens the device, notes its settings; sets nothing that stays behind
 *     job       -> guard: STAGED, the hold with all names that it may come to have, descriptor
 *     guard     notes it, tells the second, -> job: go on
 *     job       lock files, TIOCEXCL, raw mode
 *               (to throw somebody out: the flag first, a hang-up, another descriptor, which is
 *               STAGED as well, in the place of the dead one)
 *     job       -> guard: the result; the guard tells the second and answers the server
 *
 * A job whose guard is gone before the result undoes its work itself; a guard whose job is gone
 * undoes it; the second has it when both are gone.
 */

#include "base/error.h"
#include "console/guard.h"
#include "console/openers.h"

/*
 * After a hang-up: so much more time has a TAKE that throws out. minicom takes three seconds to end
 * when it is asked to.
 */
#define HF_GUARD_HANGUP_MSEC 8000

/* One device, in the guard and in its second. */
struct hf_held {
        struct hf_hold hold;
        int fd;
        bool sure; /* taken, and answered */
};

struct hf_held_table {
        struct hf_held *list;
        size_t n, room;
};

struct hf_held *hf_held_find(struct hf_held_table *table, uint64_t id);

/* Another hold of the same device. NULL: there is none. */
struct hf_held *hf_held_same(struct hf_held_table *table, const struct hf_hold *hold);

/* Adds or replaces it; fd is the table's then, -1 leaves it as it was. -ENOMEM, -ENOSPC. */
int hf_held_put(struct hf_held_table *table, const struct hf_hold *hold, int fd);

/* Takes it out, and closes its descriptor where that holds up nobody. */
void hf_held_drop(struct hf_held_table *table, struct hf_held *held);

/*
 * Gives one back: settings, flag, lock files, flock. Does not close it. Names that another hold
 * of the table has, too, stay. May wait for the directory.
 */
void hf_held_give_back(const struct hf_held_table *table, const char *lock_dir,
                       const struct hf_hold *hold, int fd);

/* Gives all back, each in a process of its own, and waits for them for at most wait_ms. */
void hf_held_give_all_back(const struct hf_held_table *table, const char *lock_dir,
                           uint32_t wait_ms);

/* Closes a device in a process that may take its time; for those that never do, at once. */
void hf_close_aside(const struct hf_hold *hold, int fd);

/* What a job knows. All of it is a copy. */
struct hf_job {
        int fd; /* to the guard */
        const struct hf_guard_settings *settings;
        struct hf_held_table *table;
        pid_t guard;
        struct hf_guard_request request;
        int device; /* ADOPT, RELEASE, LOOK: the device; TAKE: once it is open */
        struct hf_guard_reply reply;
};

/* Its life. */
_Noreturn void hf_job_run(struct hf_job *job);

/* TAKE, up to the result in job->reply. */
void hf_job_take(struct hf_job *job);

/* Says STAGED and waits for the guard's word. False: it is not to go on. */
bool hf_job_stage(struct hf_job *job);
#define HF_GUARD_STAGED 100

/* Sets the result with its text. */
void hf_job_fail(struct hf_job *job, int result, const char *format, ...)
        __attribute__((format(printf, 3, 4)));

/* Adds somebody who stands against it; the first one also is in the text. */
void hf_job_intruder(struct hf_job *job, const struct hf_opener *who, const char *how);

/* The terminal of this O_PATH descriptor, which does not wait; a negative errno. */
int hf_job_open_terminal(int path_fd);

/* flock, asked for until msec have passed. */
bool hf_job_lock(int fd, int64_t msec);

/* Between two looks at what changes by itself. */
void hf_job_pause(void);

/* The refusal that names who has it open; more goes on behind it. */
void hf_job_refuse(struct hf_job *job, const struct hf_openers *who, bool flag, const char *more);

/*
 * Throws out whom `who` lists; pids, with room for HF_OPENERS_MAX and a 0, are those. True: it is
 * ours alone, open anew and locked by flock. Else the reply says why not.
 */
bool hf_job_evict(struct hf_job *job, int path_fd, const struct stat *st, struct hf_openers *who,
                  pid_t *pids);

/* Opens a socket chardev: connects to it, if nobody else is. path_fd: an O_PATH descriptor of it.
 */
void hf_job_take_socket(struct hf_job *job, int path_fd, const struct stat *st);

/* Starts the second. Returns the guard's end of their connection, or a negative errno. */
int hf_second_start(int server_fd, const struct hf_guard_settings *settings,
                    const struct hf_held_table *table);

/* Tells it, waiting if it has to; false: it is gone. op: ADOPT (with fd, or -1), RELEASE, QUIT. */
bool hf_second_tell(int fd, uint32_t op, const struct hf_hold *hold, int device_fd);

/* One record with a descriptor, or -1. MSG_DONTWAIT or 0 in flags; 0 or a negative errno. */
int hf_guard_send_record(int fd, const void *record, size_t size, int device_fd, int flags);

/* The size of the record, 0 at the end, or a negative errno. */
ssize_t hf_guard_receive_record(int fd, void *record, size_t size, int *ret_fd, int flags);
