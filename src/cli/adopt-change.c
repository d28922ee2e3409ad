/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The change itself.
 *
 * virtlockd is stopped (SIGSTOP) for the instant in which it is looked at for the last time: then
 * nobody has a request under way, nobody has a connection that is not registered, and what
 * it holds is what has to be held afterwards. Only then it is told to execute itself. Whoever
 * connects meanwhile waits in the queue of its socket. A child of ours sees to it that it goes on
 * should we be killed in that instant.
 */
#include "cli/adopt.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/socket.h"
#include "cli/message.h"

#include <fcntl.h>
#include <holdfast/holdfast.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>

/* How long libvirt may be talking to it, and how long it may take to become the other program. */
#define BUSY_MS  30000
#define AWAIT_MS 60000

/* A process that waits for a disk is not stopped before the disk has answered. */
#define STOP_MS 5000

/* Between two looks at what nobody tells us of. */
#define LOOK_MS 5

static void pause_before_look(void)
{
        (void)poll(NULL, 0, LOOK_MS);
}

static bool is_dead(const struct hf_adopt_daemon *daemon)
{
        return hf_process_pidfd_is_dead(daemon->pidfd) != 0;
}

/* ---- standing still --------------------------------------------------------------------- */

static bool is_stopped(const struct hf_adopt_daemon *daemon)
{
        hf_cleanup_free char *stat = NULL;
        const char *state;

        if (hf_adopt_proc_text(daemon, "stat", &stat, NULL) < 0)
                return false;
        state = strrchr(stat, ')');
        return state && !strncmp(state, ") T", 3);
}

static void go_on(const struct hf_adopt_daemon *daemon)
{
        (void)pidfd_send_signal(daemon->pidfd, SIGCONT, NULL, 0);
}

/* ---- out of reach ----------------------------------------------------------------------- */

/*
 * What is connected from the last look on until virtlockd has written down what it has would be
 * its end, and that takes it milliseconds. So for these its socket has another name.
 */

/* What tells that it has written down what it has, before and then. */
struct trace {
        struct stat file, exe;
};

static struct trace look_at_trace(const struct hf_paths *paths,
                                  const struct hf_adopt_daemon *daemon)
{
        struct trace trace = {0};
        char file[PATH_MAX];

        (void)snprintf(file, sizeof(file), "root%s", paths->virtlockd_handover);
        if (fstatat(daemon->proc, file, &trace.file, AT_SYMLINK_NOFOLLOW) < 0)
                trace.file = (struct stat){0};
        if (fstatat(daemon->proc, "exe", &trace.exe, 0) < 0)
                trace.exe = (struct stat){0};
        return trace;
}

static bool is_same(const struct stat *a, const struct stat *b)
{
        return a->st_dev == b->st_dev && a->st_ino == b->st_ino &&
               a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

/* Until it accepts nobody any more. */
static void await_written(const struct hf_paths *paths, const struct hf_adopt_daemon *daemon,
                          const struct trace *before)
{
        int64_t end = hf_clock_msec(CLOCK_MONOTONIC) + STOP_MS;
        struct trace now = *before;

        while (is_same(&now.file, &before->file) && is_same(&now.exe, &before->exe) &&
               !is_dead(daemon) && hf_clock_msec(CLOCK_MONOTONIC) < end) {
                (void)poll(NULL, 0, 1);
                now = look_at_trace(paths, daemon);
        }
}

/* Lets the daemon go on when *ret_end is closed, also by our death. */
static pid_t start_waker(const struct hf_paths *paths, const struct hf_adopt_daemon *daemon,
                         int *ret_end)
{
        int ends[2];
        pid_t child;
        char byte;

        if (pipe2(ends, O_CLOEXEC) < 0)
                return -errno;
        child = fork();
        if (child == 0) {
                (void)close(ends[1]);
                (void)setpgid(0, 0);
                (void)TEMP_FAILURE_RETRY(read(ends[0], &byte, 1));
                go_on(daemon);
                hf_adopt_show_socket(paths);
                _exit(0);
        }
        (void)close(ends[0]);
        if (child < 0) {
                int r = -errno;

                (void)close(ends[1]);
                return r;
        }
        *ret_end = ends[1];
        return child;
}

static int stand_still(const struct hf_adopt_daemon *daemon, struct hf_error *err)
{
        int64_t end = hf_clock_msec(CLOCK_MONOTONIC) + STOP_MS;

        if (pidfd_send_signal(daemon->pidfd, SIGSTOP, NULL, 0) < 0)
                return hf_error_sys(err, errno, "cannot stop virtlockd (pid %d) for a moment",
                                    (int)daemon->process.pid);
        while (!is_stopped(daemon)) {
                if (is_dead(daemon))
                        return hf_error_sys(err, ESRCH, "virtlockd has ended");
                if (hf_clock_msec(CLOCK_MONOTONIC) > end)
                        return hf_error_set(err, ETIMEDOUT, HF_ERR_SYSTEM, HF_FROM_NONE,
                                            "virtlockd (pid %d) is waiting for something in the "
                                            "kernel, such as a file server that does not answer",
                                            (int)daemon->process.pid);
                (void)poll(NULL, 0, 1);
        }
        return 0;
}

/* Returns 1 if it was told to execute itself, 0 if somebody was talking to it. */
static int look_and_tell(const struct hf_paths *paths, struct hf_adopt_daemon *daemon,
                         struct json_object *findings, struct hf_error *err)
{
        int r = stand_still(daemon, err);

        if (r >= 0)
                r = hf_adopt_read_files(daemon, err);
        if (r >= 0)
                r = hf_adopt_read_peers(paths, daemon, err);
        if (r < 0)
                return r;
        hf_adopt_judge_peers(daemon, findings);
        /* It was safe at first, and that may be long ago. */
        hf_adopt_judge_state_file(paths, daemon, findings);
        if (hf_adopt_is_busy(daemon) || hf_adopt_stops(findings))
                return 0;
        r = hf_adopt_hide_socket(paths, err);
        if (r >= 0)
                r = hf_adopt_read_waiting(paths, daemon, err);
        if (r < 0 || daemon->waiting)
                return r;
        if (pidfd_send_signal(daemon->pidfd, SIGUSR1, NULL, 0) < 0)
                return hf_error_sys(err, errno, "cannot signal virtlockd");
        return 1;
}

static int tell(const struct hf_paths *paths, struct hf_adopt_daemon *daemon,
                struct json_object *findings, struct hf_error *err)
{
        hf_cleanup_fd int end = -1;
        pid_t waker = start_waker(paths, daemon, &end);
        struct trace before = look_at_trace(paths, daemon);
        int r;

        if (waker < 0)
                return hf_error_sys(err, -(int)waker, "cannot make a process");
        r = look_and_tell(paths, daemon, findings, err);
        go_on(daemon);
        if (r > 0)
                await_written(paths, daemon, &before);
        hf_adopt_show_socket(paths);
        hf_close_fd(&end);
        (void)TEMP_FAILURE_RETRY(waitpid(waker, NULL, 0));
        return r;
}

/* What stops it, or else what it has waited for. */
static const char *what_is_against(struct json_object *findings)
{
        const char *text = "somebody connects to virtlockd all the time";

        for (size_t i = json_object_array_length(findings); i-- > 0;) {
                struct json_object *finding = json_object_array_get_idx(findings, i);
                bool stops = json_object_get_boolean(json_object_object_get(finding, "stops"));

                text = json_object_get_string(json_object_object_get(finding, "text"));
                if (stops)
                        break;
        }
        return text;
}

static int tell_when_calm(const struct hf_paths *paths, struct hf_adopt_daemon *daemon,
                          struct hf_error *err)
{
        int64_t end = hf_clock_msec(CLOCK_MONOTONIC) + BUSY_MS;

        for (;;) {
                struct json_object *findings = json_object_new_array();
                int r = tell(paths, daemon, findings, err);
                bool stops = hf_adopt_stops(findings);

                if (r == 0 && (stops || hf_clock_msec(CLOCK_MONOTONIC) > end))
                        r = hf_error_set(err, EBUSY, HF_ERR_RESOURCE_BUSY, HF_FROM_NONE, "%s",
                                         what_is_against(findings));
                (void)json_object_put(findings);
                if (r != 0)
                        return r < 0 ? r : 0;
                pause_before_look();
        }
}

/* ---- becoming --------------------------------------------------------------------------- */

/* A virtlockd that was executed anew reads what was written down for it, and removes that. */
static bool has_begun(const struct hf_paths *paths, const struct hf_adopt_daemon *daemon)
{
        char file[PATH_MAX];
        struct stat st;

        (void)snprintf(file, sizeof(file), "root%s", paths->virtlockd_handover);
        return fstatat(daemon->proc, file, &st, AT_SYMLINK_NOFOLLOW) < 0;
}

static bool runs(const struct hf_adopt_daemon *daemon, const char *program)
{
        char inside[PATH_MAX + 8];
        struct stat now, wanted;

        (void)snprintf(inside, sizeof(inside), "root%s", program);
        return fstatat(daemon->proc, "exe", &now, 0) == 0 &&
               fstatat(daemon->proc, inside, &wanted, 0) == 0 && now.st_dev == wanted.st_dev &&
               now.st_ino == wanted.st_ino;
}

/* Of a process that has executed virtlockd's path twice, as it could not go on in between. */
static bool is_back(const struct hf_paths *paths, const struct hf_adopt_daemon *daemon,
                    const struct stat *before)
{
        struct stat now;

        return has_begun(paths, daemon) && fstatat(daemon->proc, "exe", &now, 0) == 0 &&
               now.st_dev == before->st_dev && now.st_ino == before->st_ino &&
               !hf_adopt_is_covered(daemon);
}

static int await_holdfastd(const struct hf_paths *paths, const struct hf_adopt_daemon *daemon,
                           const char *holdfastd, const struct stat *before, struct hf_error *err)
{
        int64_t end = hf_clock_msec(CLOCK_MONOTONIC) + AWAIT_MS;
        int pid = (int)daemon->process.pid;

        while (!runs(daemon, holdfastd) || hf_socket_probe(paths->socket, NULL, NULL) <= 0) {
                if (is_dead(daemon))
                        return hf_error_set(err, ESRCH, HF_ERR_INTERNAL, HF_FROM_NONE,
                                            "virtlockd (pid %d) has ended where it should have "
                                            "become holdfastd: its VMs run on WITHOUT LOCKS. Start "
                                            "holdfastd, then pause and resume each of them",
                                            pid);
                if (is_back(paths, daemon, before))
                        return hf_error_set(err, ENOEXEC, HF_ERR_INTERNAL, HF_FROM_NONE,
                                            "holdfastd could not take over from virtlockd (process "
                                            "%d; the log of that service says why), and has "
                                            "executed it again",
                                            pid);
                if (hf_clock_msec(CLOCK_MONOTONIC) > end)
                        return hf_error_sys(err, ETIMEDOUT,
                                            "process %d has not become a holdfastd that answers",
                                            pid);
                pause_before_look();
        }
        return 0;
}

/* ---- comparing -------------------------------------------------------------------------- */

static bool is_listed(const struct holdfast_lock_list *list, const struct hf_thing *thing)
{
        for (size_t i = 0; i < list->n; i++) {
                const struct holdfast_thing *file = &list->locks[i]->file;

                if (file->kind == thing->kind && file->dev == thing->dev && file->ino == thing->ino)
                        return true;
        }
        return false;
}

/* Whether the new daemon knows of each lock; whether they are held the kernel has said. */
static size_t compare_with_list(const struct hf_adopt_daemon *before)
{
        struct holdfast_lock_list *list;
        struct holdfast_error error = {0};
        size_t missing = 0;

        if (holdfast_list_locks(0, &list, &error) < 0) {
                hf_message("%s", error.text);
                return 1;
        }
        for (size_t i = 0; i < before->n_files; i++)
                if (before->files[i].held && !is_listed(list, &before->files[i].thing)) {
                        hf_message("holdfastd does not know of the lock on %s",
                                   before->files[i].path);
                        missing++;
                }
        holdfast_lock_list_free(list);
        return missing;
}

static size_t compare_locks(const struct hf_adopt_daemon *before,
                            const struct hf_adopt_daemon *after)
{
        size_t missing = 0;

        for (size_t i = 0; i < before->n_files; i++) {
                const struct hf_adopt_file *file = &before->files[i];

                if (file->held && !hf_adopt_file_of(after, &file->thing, file->shared)) {
                        hf_message("THE LOCK IS GONE that was held on %s", file->path);
                        missing++;
                }
        }
        return missing;
}

/* Returns an exit status. */
static int compare(const struct hf_paths *paths, const struct hf_adopt_daemon *before, bool ours)
{
        hf_cleanup_adopt_daemon struct hf_adopt_daemon after = HF_ADOPT_DAEMON_INIT;
        struct hf_error error = {0};
        size_t missing;

        if (hf_adopt_find(paths, &after, &error) < 0) {
                hf_message("cannot compare: %s", error.text);
                return HF_EXIT_INTERNAL;
        }
        missing = compare_locks(before, &after);
        if (ours)
                missing += compare_with_list(before);
        return missing ? HF_EXIT_INTERNAL : HF_EXIT_OK;
}

/* ---- back ------------------------------------------------------------------------------ */

static int await_virtlockd(const struct hf_paths *paths, struct hf_error *err)
{
        int64_t end = hf_clock_msec(CLOCK_MONOTONIC) + AWAIT_MS;

        for (;;) {
                hf_cleanup_adopt_daemon struct hf_adopt_daemon now = HF_ADOPT_DAEMON_INIT;
                int r = hf_adopt_find(paths, &now, err);

                if (r >= 0 && !now.ours && has_begun(paths, &now))
                        return 0;
                if (hf_clock_msec(CLOCK_MONOTONIC) > end)
                        return hf_error_sys(err, ETIMEDOUT,
                                            "holdfastd has not become a virtlockd that serves %s",
                                            paths->virtlockd_socket);
                pause_before_look();
        }
}

int hf_adopt_go_back(const struct hf_paths *paths, struct hf_adopt_daemon *daemon,
                     const char *virtlockd)
{
        bool installed = hf_adopt_service() == HF_ADOPT_SERVICE_OURS;
        struct holdfast_error refused = {0};
        struct hf_error error = {0};
        int status;

        if (hf_adopt_read_files(daemon, &error) < 0) {
                hf_message("%s", error.text);
                return HF_EXIT_SYSTEM;
        }
        if (holdfast_daemon_leave(virtlockd, 0, &refused) < 0) {
                hf_message("%s", refused.text);
                return hf_message_status(&refused);
        }
        if (await_virtlockd(paths, &error) < 0) {
                hf_message("%s", error.text);
                return HF_EXIT_SYSTEM;
        }
        status = compare(paths, daemon, false);
        /* Not before: without the drop-in systemd would keep no locks of a holdfastd that stays. */
        if (hf_adopt_service_remove(&error) < 0 || (installed && hf_adopt_own_start(&error) < 0)) {
                hf_message("%s", error.text);
                status = status == HF_EXIT_OK ? HF_EXIT_SYSTEM : status;
        }
        return status;
}

/* ---- there ------------------------------------------------------------------------------ */

static int change(const struct hf_paths *paths, struct hf_adopt_daemon *daemon,
                  const char *holdfastd, struct hf_error *err)
{
        char said[NAME_MAX];
        struct stat before = {0};
        int r;

        if (fstatat(daemon->proc, "exe", &before, 0) < 0)
                return hf_error_sys(err, errno, "cannot look at virtlockd");
        r = hf_adopt_cover(daemon, holdfastd, hf_adopt_is_managed(daemon), err);

        /* The very path that virtlockd will execute, with its very arguments. */
        if (r >= 0)
                r = hf_adopt_try(daemon, daemon->program, said, err);
        if (r >= 0 && strcmp(said, "holdfastd (holdfast) " HF_VERSION) != 0)
                r = hf_error_set(err, ENOEXEC, HF_ERR_INTERNAL, HF_FROM_NONE,
                                 "%s says that it is \"%s\"", daemon->program, said);
        if (r >= 0)
                r = tell_when_calm(paths, daemon, err);
        if (r >= 0)
                r = await_holdfastd(paths, daemon, holdfastd, &before, err);
        return r;
}

int hf_adopt_go(const struct hf_paths *paths, struct hf_adopt_daemon *daemon, const char *holdfastd)
{
        bool installed = hf_adopt_service() == HF_ADOPT_SERVICE_STOCK;
        struct hf_error error = {0}, second = {0};
        int r;

        /* An earlier attempt may have been killed while it stood still. */
        go_on(daemon);
        r = hf_adopt_service_install(&error);
        if (r >= 0 && hf_adopt_own_server(paths) > 0)
                r = hf_adopt_own_stop(&error);
        if (r >= 0)
                r = change(paths, daemon, holdfastd, &error);
        if (r < 0)
                hf_message("%s", error.text);
        if ((is_dead(daemon) ? hf_adopt_uncover_here(&second) : hf_adopt_uncover(daemon, &second)) <
            0)
                hf_message("%s", second.text);
        if (r >= 0)
                return compare(paths, daemon, true);
        if (installed && !is_dead(daemon) && !runs(daemon, holdfastd) &&
            (hf_adopt_service_remove(&second) < 0 || hf_adopt_own_start(&second) < 0))
                hf_message("%s", second.text);
        if (!is_dead(daemon) && !runs(daemon, holdfastd))
                hf_message("virtlockd goes on as it was");
        return r == -EBUSY ? HF_EXIT_HELD : HF_EXIT_SYSTEM;
}
