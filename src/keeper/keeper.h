/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The keeper: a program that survives the SIGKILL of any one of its processes.
 *
 * Two processes share one descriptor table: the supervisor, which does nothing
 * but wait, and the server, its child, which does the work. What the
 * descriptors mean is in the area, a piece of shared memory. When the server is
 * killed, the supervisor makes another one, which finds every descriptor open
 * and the area as it was. When the supervisor is killed, the server takes its
 * place by executing its own program again. An upgrade is the same with another
 * program. The keeper knows nothing of what it keeps.
 *
 * Rules for a program that lives on it:
 *  - Everything that is to outlive the server is in the area, or is a descriptor
 *    that the area tells of. All else goes with the server.
 *  - Before hf_keeper_run there is one thread, and no call of a library that
 *    remembers which process it is in (libsystemd does).
 *  - What is registered with atexit before that runs in the supervisor and in each
 *    server that ends by itself.
 *  - A server that waits for its children waits for each by its pid: a probe is
 *    a child too.
 *  - A server that takes over sets FD_CLOEXEC again on all that it keeps: an
 *    upgrade or an heir may have cleared it just before.
 */

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct hf_keeper;

/* Why this server was made. */
enum hf_keeper_start {
        /* Nothing to take over: none before it got as far as hf_keeper_ready. */
        HF_KEEPER_FIRST,
        HF_KEEPER_REPLACED, /* the last server was ended by a signal, or an upgrade failed */
        HF_KEEPER_UPGRADED, /* another program was here before this one, or the same */
        HF_KEEPER_HEIR,     /* the supervisor was killed */
};

struct hf_keeper_program {
        /*
         * Of the state: the area's layout and what is kept beside it. A program
         * can take over only from one of the same version. Started with argv (see
         * below) and "--probe-state N" behind it, it ends with 0 if N is this
         * version and it could start, else with another status.
         */
        uint32_t version;
        size_t area_size; /* bytes, not 0. An upgrade may make it larger, never smaller; a
                             successor has to do with what there is (hf_keeper_area_size) */
        /*
         * Runs in each server, with SIGINT, SIGQUIT, SIGTERM, SIGHUP, SIGUSR1 and
         * SIGCHLD blocked and all others not. What it returns is the exit status
         * of the whole program, as if it had called exit with it.
         */
        int (*serve)(struct hf_keeper *keeper, void *data);
        void *data;
        /*
         * What this process was started with is the program's to keep, as the area will tell: the
         * keeper's own numbers are behind all of it.
         */
        bool keeps_given;
        const char *path; /* where an upgrade finds the program; NULL: where this one was started */
};

/*
 * Runs the program; returns its exit status, in the supervisor. Never returns in
 * a server. argv is what an upgrade or an heir is executed with; it has to stay.
 *
 * The supervisor passes SIGINT, SIGQUIT, SIGTERM, SIGHUP and SIGUSR1 on to the
 * server; the first three also to each later one, until one obeys. These
 * signals, SIGUSR2 and SIGCHLD are blocked in the supervisor, also on return.
 *
 * supervised false: serves in this process, which nobody replaces (for debuggers
 * and valgrind).
 *
 * A process that was executed for an upgrade or as an heir is recognised here,
 * by what HOLDFAST_KEEPER in the environment leads to; that variable is gone
 * afterwards, whatever it held. Descriptors 0, 1 and 2 are opened on /dev/null
 * where they are closed, so that nothing to be kept gets these numbers.
 *
 * -errno with *err when the program could not begin or take over; -EFBIG: a limit
 * of file sizes leaves no room for the area of a supervised one.
 */
int hf_keeper_run(const struct hf_keeper_program *program, char **argv, bool supervised,
                  struct hf_error *err);

/*
 * Whether this process, before hf_keeper_run, is the successor of one that has
 * executed it: what it was asked to do at the very start is done.
 */
bool hf_keeper_takes_over(void);

/*
 * Before hf_keeper_run, and before anything is opened: closes what whoever started
 * this process left open, but for 0, 1, 2 and what systemd passed. A successor closes
 * nothing. For programs that would take such descriptors for orphans of their own
 * (hf_keeper_reconcile).
 */
void hf_keeper_close_inherited(void);

/* All below: in the server. */

/*
 * The shared memory, area_size bytes, aligned to a page; zeros for the first
 * server. It is a shared mapping of a memfd: madvise with MADV_REMOVE gives
 * memory back and leaves zeros. Each server locks what it wants locked anew.
 */
void *hf_keeper_area(struct hf_keeper *keeper);

/*
 * Its size: what the program asked for, or more, which an earlier one did; or, in a
 * successor that could not have more (RLIMIT_FSIZE, RLIMIT_AS), what that had.
 */
size_t hf_keeper_area_size(const struct hf_keeper *keeper);

enum hf_keeper_start hf_keeper_start(const struct hf_keeper *keeper);

/* How the last server ended, as waitpid has it; 0 if there was none or it left on purpose. */
int hf_keeper_last_status(const struct hf_keeper *keeper);

/* Whether the last server was ended because it did not move (see hf_keeper_beat). */
bool hf_keeper_last_hung(const struct hf_keeper *keeper);

/* How often systemd wants to hear of the program (WATCHDOG_USEC), in microseconds; 0: it does not.
 */
uint64_t hf_keeper_watchdog_usec(const struct hf_keeper *keeper);

/*
 * Where systemd has set a watchdog on the program: how often the server has
 * to say that its loop turns, in microseconds; else 0. While it says so, the supervisor feeds
 * the watchdog. One that has not for four times as long, after hf_keeper_ready, is killed and
 * followed by another.
 */
uint64_t hf_keeper_beat_usec(const struct hf_keeper *keeper);
void hf_keeper_beat(struct hf_keeper *keeper);

/* The pid that stands for the program: the supervisor's (one's own, if not supervised). */
pid_t hf_keeper_pid(const struct hf_keeper *keeper);

/*
 * How many descriptors systemd passed to this program (LISTEN_PID, LISTEN_FDS),
 * from number 3 on, with FD_CLOEXEC set. 0 in a server that takes over: these
 * descriptors are in the area by then. The environment is left as it is;
 * LISTEN_PID in it names the supervisor, so sd_listen_fds finds nothing.
 */
int hf_keeper_listen_fds(const struct hf_keeper *keeper);

/*
 * From now on the area tells of everything: if this server is ended by a signal,
 * the next one takes over. Before (in a first server), the next one is a first
 * one again, with an area of zeros and none of the descriptors opened since the
 * program was started.
 */
void hf_keeper_ready(struct hf_keeper *keeper);

/*
 * The program ends: from now on the area tells of nothing any more, and no server
 * follows this one, also where it is killed before it has ended by itself.
 */
void hf_keeper_end(struct hf_keeper *keeper);

/*
 * A pidfd of the supervisor, to be watched: readable once it is dead. -1 if not
 * supervised. The keeper's to close.
 */
int hf_keeper_supervisor_fd(const struct hf_keeper *keeper);

/*
 * Calls `orphan` for each open descriptor that is not among the n kept ones, in
 * ascending order; never for 0, 1, 2 and the keeper's own. kept is in any order
 * and may name a number twice, or one that is not open (-1 too). To be called
 * first in a server that takes over, before it opens anything and while nobody
 * else uses the table. `orphan` may close the descriptor. Needs no memory and
 * no free descriptor.
 */
void hf_keeper_reconcile(const struct hf_keeper *keeper, const int *kept, size_t n,
                         void (*orphan)(void *data, int fd), void *data);

/*
 * Upgrade, step one: opens the program at the path that this one was once
 * started from, and starts it with "--probe-state VERSION" in a process that has
 * none of our descriptors but 0, 1 and 2, and dies with this server.
 *
 * *ret_pidfd (close-on-exec, the caller's to close) becomes readable when it has
 * ended. hf_keeper_probe_end then says 0 if the program said yes, else -errno
 * with *err. Called before that, it ends the probe and says -ETIMEDOUT: how long
 * a probe may take is for the caller to judge.
 *
 * -EOPNOTSUPP if not supervised, -ESRCH if the supervisor is dead, -EAGAIN before
 * hf_keeper_ready, -EBUSY while a probe runs, or why the program could not be opened
 * or started.
 */
int hf_keeper_probe_begin(struct hf_keeper *keeper, int *ret_pidfd, struct hf_error *err);
int hf_keeper_probe_end(struct hf_keeper *keeper, struct hf_error *err);

/*
 * Step two, after a probe that said yes, when the caller has cleared FD_CLOEXEC
 * on all that stays: ends this server; the supervisor becomes the new program.
 * If that cannot be executed after all, a server of the old one follows, with
 * HF_KEEPER_REPLACED; hf_keeper_upgrade_error says the (positive) errno there,
 * and 0 in every other server. If the supervisor is killed before it has begun,
 * there is no upgrade but an heir.
 */
_Noreturn void hf_keeper_upgrade(struct hf_keeper *keeper);
int hf_keeper_upgrade_error(const struct hf_keeper *keeper);

/*
 * The end of the program as it is: ends this server, and the supervisor executes another program,
 * which knows nothing of this one, by argv[0], an absolute path, with all descriptors whose
 * FD_CLOEXEC the caller has cleared, in our environment without what systemd passes descriptors by,
 * and with no signal blocked. Where it cannot be executed a server follows as after an upgrade
 * that failed. Returns -ESRCH where the supervisor is killed before, with nothing changed; -E2BIG:
 * the words of argv, with their NULs, do not fit HF_KEEPER_WORDS_MAX; -EOPNOTSUPP.
 */
#define HF_KEEPER_WORDS_MAX 16384
int hf_keeper_become(struct hf_keeper *keeper, const char *const *argv);

/*
 * The supervisor is dead: takes its place, with the same program. FD_CLOEXEC as
 * above. Returns only on failure, with nothing changed: -EBUSY if the supervisor
 * lives, -EAGAIN before hf_keeper_ready, or what execve failed with.
 */
int hf_keeper_inherit(struct hf_keeper *keeper);
