/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Moving a host from virtlockd to holdfastd and back while its VMs run.
 *
 * A virtlockd that gets SIGUSR1 writes down what it has and executes its own program anew, by the
 * path it was started with. For that moment another program stands at that path, and the process
 * goes on as holdfastd: with its pid, its sockets, its clients and its locks. What is found out
 * about it before, and compared afterwards, is the kernel's word, never its own: a virtlockd
 * cannot say what it holds.
 *
 *   adopt-look.c    which process serves virtlockd's socket, its files and their locks
 *   adopt-peers.c   its connections, and who is at their other ends
 *   adopt-judge.c   what would make it unsafe
 *   adopt-cover.c   the program that stands in virtlockd's place for a moment
 *   adopt-service.c what the service manager starts next
 *   adopt-change.c  the change itself, and the comparison
 *   adopt.c         the verb
 */

#include "base/path.h"
#include "base/process.h"
#include "base/thing.h"

#include <json-c/json.h>
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

/* A file that the daemon has open as it opens what it locks. */
struct hf_adopt_file {
        char *path; /* as the kernel names it */
        struct hf_thing thing;
        bool held; /* byte 0 is locked by this descriptor */
        bool shared;
        bool gone; /* the path leads to it no more */
};

/* Who has the other end of a connection to the daemon. */
enum hf_adopt_peer {
        HF_ADOPT_PEER_VM,      /* a VMM, or a process that uses a locked file: it has registered */
        HF_ADOPT_PEER_LIBVIRT, /* libvirt at work: gone in a moment */
        HF_ADOPT_PEER_NOBODY,  /* the same: closed, and virtlockd has not noticed yet */
        HF_ADOPT_PEER_UNKNOWN, /* anybody; it may never have registered */
};

struct hf_adopt_connection {
        uint64_t inode; /* of the client's end; 0: in another network namespace */
        pid_t pid;      /* that has it open; 0: nobody was found */
        char program[NAME_MAX + 1];
        enum hf_adopt_peer peer;
};

struct hf_adopt_daemon {
        struct hf_process process;
        int pidfd;
        int proc;  /* /proc/PID: of this process, also when the number is given away */
        bool ours; /* a holdfastd */
        char exe[PATH_MAX];
        char program[PATH_MAX]; /* where its argv[0] leads, in its own mount namespace */
        char **argv;
        struct hf_adopt_file *files;
        size_t n_files;
        struct hf_adopt_connection *connections;
        size_t n_connections;
        unsigned int waiting; /* connections that it has not accepted yet */
};

#define HF_ADOPT_DAEMON_INIT                                                                       \
        {                                                                                          \
                .pidfd = -1, .proc = -1                                                            \
        }

/*
 * Finds the process that serves virtlockd's socket. Nobody is connected to for that: a connection
 * that never registers is what virtlockd cannot be re-executed with. -ENOENT: nobody serves it, or
 * only the service manager does. Free with hf_adopt_done.
 */
int hf_adopt_find(const struct hf_paths *paths, struct hf_adopt_daemon *ret, struct hf_error *err);
void hf_adopt_done(struct hf_adopt_daemon *daemon);

#define hf_cleanup_adopt_daemon hf_cleanup(hf_adopt_done)

/* Reads its files and connections as they are now, in place of those read before. */
int hf_adopt_read_files(struct hf_adopt_daemon *daemon, struct hf_error *err);
int hf_adopt_read_peers(const struct hf_paths *paths, struct hf_adopt_daemon *daemon,
                        struct hf_error *err);

/* By which name virtlockd's socket is out of reach for a moment. */
void hf_adopt_name_aside(const struct hf_paths *paths, char ret[static PATH_MAX]);

int hf_adopt_hide_socket(const struct hf_paths *paths, struct hf_error *err);

/* Gives it its name back, where it has not; also after an attempt that was killed. */
void hf_adopt_show_socket(const struct hf_paths *paths);

/* Only how many wait to be accepted, of a socket that is out of reach. */
int hf_adopt_read_waiting(const struct hf_paths *paths, struct hf_adopt_daemon *daemon,
                          struct hf_error *err);

/* The file of that thing whose lock is held in that mode, or NULL. */
const struct hf_adopt_file *hf_adopt_file_of(const struct hf_adopt_daemon *daemon,
                                             const struct hf_thing *thing, bool shared);

/* Files whose locks are held. */
size_t hf_adopt_n_held(const struct hf_adopt_daemon *daemon);

/* A file of its /proc folder as text, NUL-terminated and perhaps with more of them within. */
int hf_adopt_proc_text(const struct hf_adopt_daemon *daemon, const char *name, char **ret,
                       size_t *ret_size);

/* ---- its sockets ----------------------------------------------------------------------- */

/* A UNIX socket that is bound to a file, or was accepted from one that is. */
struct hf_adopt_socket {
        uint64_t inode;
        uint64_t peer; /* the other end's, 0: none */
        bool listens;
        unsigned int waiting; /* of one that listens: connections not accepted yet */
};

/* All that lead to the socket file at path, as the kernel tells; *ret is to be freed. */
int hf_adopt_sockets(const char *path, struct hf_adopt_socket **ret, size_t *ret_n,
                     struct hf_error *err);

/* Looks through the descriptors of all processes for sockets: fn is told of each one of wanted. */
int hf_adopt_each_socket(const uint64_t *wanted, size_t n,
                         void (*fn)(void *data, pid_t pid, uint64_t inode), void *data);

/* ---- judging --------------------------------------------------------------------------- */

/*
 * Findings go into an array of {"key", "text", "stops"}: one that stops makes the change unsafe.
 */
void hf_adopt_finding(struct json_object *findings, bool stops, const char *key, const char *format,
                      ...) __attribute__((format(printf, 4, 5)));
bool hf_adopt_stops(struct json_object *findings);

/* What stands against making this virtlockd a holdfastd; the program that it would be. */
void hf_adopt_judge(const struct hf_paths *paths, const struct hf_adopt_daemon *daemon,
                    const char *holdfastd, struct json_object *findings);

/* Of a holdfastd that serves its own socket beside it. */
void hf_adopt_judge_own(const struct hf_paths *paths, struct json_object *findings);

/* Of the file alone that virtlockd will write. */
void hf_adopt_judge_state_file(const struct hf_paths *paths, const struct hf_adopt_daemon *daemon,
                               struct json_object *findings);

/* Of its connections alone. */
void hf_adopt_judge_peers(const struct hf_adopt_daemon *daemon, struct json_object *findings);

/* Whether a moment later there may be less: libvirt is at work. */
bool hf_adopt_is_busy(const struct hf_adopt_daemon *daemon);

/* The holdfastd that belongs to this program, or that $HOLDFAST_DAEMON names. */
const char *hf_adopt_holdfastd(void);

/* ---- the program in its place ---------------------------------------------------------- */

/*
 * Puts a program at the daemon's path, in its mount namespace, that becomes holdfastd with the
 * arguments that it gets; and takes it away. Taking away also removes what somebody left who was
 * killed in between. managed: the service manager shall hear of what happens from now on.
 */
int hf_adopt_cover(const struct hf_adopt_daemon *daemon, const char *holdfastd, bool managed,
                   struct hf_error *err);
/* Also where the command is: a service that was started since has its own copy of all mounts. */
int hf_adopt_uncover(const struct hf_adopt_daemon *daemon, struct hf_error *err);

/* Where the command is alone: of a daemon that has ended. */
int hf_adopt_uncover_here(struct hf_error *err);

/* Whether somebody left such a program there. */
bool hf_adopt_is_covered(const struct hf_adopt_daemon *daemon);

/*
 * Runs a program in the daemon's mount namespace with the daemon's arguments and --version; what
 * it printed first is in ret.
 */
int hf_adopt_try(const struct hf_adopt_daemon *daemon, const char *program,
                 char ret[static NAME_MAX], struct hf_error *err);

/* ---- what is started next -------------------------------------------------------------- */

enum hf_adopt_service {
        HF_ADOPT_SERVICE_NONE,  /* systemd does not run here */
        HF_ADOPT_SERVICE_STOCK, /* virtlockd.service starts virtlockd */
        HF_ADOPT_SERVICE_OURS,  /* it starts holdfastd */
};

enum hf_adopt_service hf_adopt_service(void);

/* Where the drop-in is that makes virtlockd.service start holdfastd, and where it comes from. */
#define HF_ADOPT_DROP_IN "/etc/systemd/system/virtlockd.service.d/holdfast.conf"
int hf_adopt_drop_in_source(char ret[static PATH_MAX]);

/* Both tell systemd. Done twice they are as done once. */
int hf_adopt_service_install(struct hf_error *err);
int hf_adopt_service_remove(struct hf_error *err);

/*
 * Who listens on holdfastd's own socket, which the daemon that is made will need: 0 nobody, 1 the
 * service manager alone. Units of ours are stopped for it; where they are enabled they are
 * started on the way back.
 */
pid_t hf_adopt_own_server(const struct hf_paths *paths);
int hf_adopt_own_stop(struct hf_error *err);
int hf_adopt_own_start(struct hf_error *err);

/* Whether the daemon's process belongs to virtlockd.service. */
bool hf_adopt_is_managed(const struct hf_adopt_daemon *daemon);

/* ---- the change ------------------------------------------------------------------------ */

/*
 * Makes the virtlockd a holdfastd. *daemon is read anew when it stands still: what it holds then
 * is what is compared. HF_EXIT_OK, or what the verb ends with; it was reported.
 */
int hf_adopt_go(const struct hf_paths *paths, struct hf_adopt_daemon *daemon,
                const char *holdfastd);

/* Makes the holdfastd the virtlockd at that path. */
int hf_adopt_go_back(const struct hf_paths *paths, struct hf_adopt_daemon *daemon,
                     const char *virtlockd);
