/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Starting a session's daemon when nobody serves.
 *
 * Starters exclude each other by a lock on a file beside the socket; whoever
 * gets it looks again before starting anything. The daemon's first process ends
 * when the daemon serves, so there is nothing to guess. All of it within one
 * deadline, and it leaves no child behind.
 */
#include "client/daemon-start.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/path.h"
#include "base/socket.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

/* libvirt's clients give a virtlockd that they start as long. */
#define START_TIMEOUT_MS 5000

/* How often to look again where nothing tells us; also libvirt's. */
#define RETRY_MS 10

extern char **environ;

static int64_t now_ms(void)
{
        return hf_clock_msec(CLOCK_MONOTONIC);
}

static void pause_before_retry(void)
{
        const struct timespec wait = {.tv_nsec = RETRY_MS * 1000000L};

        (void)nanosleep(&wait, NULL);
}

static int timed_out(const struct hf_spawn *daemon, const char *what, struct holdfast_error *err)
{
        return hf_fail(err, ETIMEDOUT, HOLDFAST_E_NO_DAEMON, "the %s%s within %d seconds",
                       daemon->what, what, START_TIMEOUT_MS / 1000);
}

/* Waits for the starters' lock; it goes with the descriptor. */
static int lock_starters(const struct hf_spawn *daemon, const char *run_dir, int64_t deadline,
                         int *ret_fd, struct holdfast_error *err)
{
        struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 1};
        hf_cleanup_free char *path = NULL;
        hf_cleanup_fd int fd = -1;

        if (asprintf(&path, "%s/%s.start", run_dir, daemon->name) < 0) {
                path = NULL;
                return hf_fail_no_memory(err);
        }
        fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0)
                return hf_fail(err, errno, HOLDFAST_E_SYSTEM, "cannot open %s: %m", path);
        while (fcntl(fd, F_OFD_SETLK, &lock) < 0) {
                if (errno != EAGAIN && errno != EACCES && errno != EINTR)
                        return hf_fail(err, errno, HOLDFAST_E_SYSTEM, "cannot lock %s: %m", path);
                if (now_ms() > deadline)
                        return timed_out(daemon,
                                         ", which another process starts, did not get ready", err);
                pause_before_retry();
        }
        *ret_fd = hf_steal_fd(&fd);
        return 0;
}

/* The child gets three descriptors and default signals, whatever our program has. */
static int prepare(posix_spawn_file_actions_t *actions, posix_spawnattr_t *attr, int error_fd)
{
        sigset_t none, all;
        int r;

        (void)sigemptyset(&none);
        (void)sigfillset(&all);
        r = posix_spawn_file_actions_addopen(actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
        if (r == 0)
                r = posix_spawn_file_actions_addopen(actions, STDOUT_FILENO, "/dev/null", O_WRONLY,
                                                     0);
        if (r == 0)
                r = posix_spawn_file_actions_adddup2(actions, error_fd, STDERR_FILENO);
        if (r == 0)
                r = posix_spawn_file_actions_addclosefrom_np(actions, STDERR_FILENO + 1);
        if (r == 0)
                r = posix_spawnattr_setsigmask(attr, &none);
        if (r == 0)
                r = posix_spawnattr_setsigdefault(attr, &all);
        if (r == 0)
                r = posix_spawnattr_setflags(attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF |
                                                           POSIX_SPAWN_SETSID);
        return r;
}

/* Returns 0 or a positive errno, as posix_spawn does. */
static int spawn(const char *program, int error_fd, pid_t *ret)
{
        char *const argv[] = {(char *)(uintptr_t)program, (char *)(uintptr_t) "--daemon",
                              (char *)(uintptr_t) "--timeout=120", NULL};
        posix_spawn_file_actions_t actions;
        posix_spawnattr_t attr;
        int r;

        r = posix_spawn_file_actions_init(&actions);
        if (r != 0)
                return r;
        r = posix_spawnattr_init(&attr);
        if (r == 0) {
                r = prepare(&actions, &attr, error_fd);
                if (r == 0)
                        r = posix_spawn(ret, program, &actions, &attr, argv, environ);
                (void)posix_spawnattr_destroy(&attr);
        }
        (void)posix_spawn_file_actions_destroy(&actions);
        return r;
}

/* Returns 1 when pid has ended (its status in *ret), 0 when the deadline has passed. */
static int wait_for_end(pid_t pid, int64_t deadline, int *ret)
{
        pid_t ended;

        *ret = 0;
        for (;;) {
                ended = waitpid(pid, ret, WNOHANG);
                /* ECHILD: the program that we are in takes no notice of its children. */
                if (ended == pid || (ended < 0 && errno != EINTR))
                        return 1;
                if (now_ms() > deadline)
                        return 0;
                pause_before_retry();
        }
}

/* What the daemon said before it ended, on one line. Never waits. */
static void read_reason(int fd, char *ret, size_t size)
{
        ssize_t n;

        (void)fcntl(fd, F_SETFL, O_NONBLOCK);
        n = read(fd, ret, size - 1);
        ret[n > 0 ? n : 0] = '\0';
        ret[strcspn(ret, "\n")] = '\0';
}

static int start(const struct hf_spawn *daemon, const char *program, int64_t deadline,
                 struct holdfast_error *err)
{
        hf_cleanup_fd int reader = -1, writer = -1;
        char reason[512];
        int pipe_fds[2], status, r;
        pid_t pid;

        if (pipe2(pipe_fds, O_CLOEXEC) < 0)
                return hf_fail(err, errno, HOLDFAST_E_SYSTEM, "cannot make a pipe: %m");
        reader = pipe_fds[0];
        writer = pipe_fds[1];
        r = spawn(program, writer, &pid);
        if (r != 0)
                return hf_fail(err, r, HOLDFAST_E_NO_DAEMON, "cannot start the %s %s: %s",
                               daemon->what, program, strerrordesc_np(r));
        hf_close_fd(&writer);
        if (!wait_for_end(pid, deadline, &status)) {
                (void)kill(pid, SIGKILL);
                (void)waitpid(pid, NULL, 0);
                return timed_out(daemon, " was started and did not get ready", err);
        }
        if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
                return 0;
        read_reason(reader, reason, sizeof(reason));
        return hf_fail(err, ECHILD, HOLDFAST_E_NO_DAEMON, "the %s %s did not start (%s %d)%s%s",
                       daemon->what, program, WIFSIGNALED(status) ? "signal" : "exit status",
                       WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status),
                       reason[0] ? ": " : "", reason);
}

static int wait_for_answer(const struct hf_spawn *daemon, const char *socket, int64_t deadline,
                           struct holdfast_error *err)
{
        struct hf_error error = {0};

        for (;;) {
                int r = hf_socket_probe(socket, NULL, &error);

                if (r < 0)
                        return hf_fail_from(err, r, &error);
                if (r > 0)
                        return 0;
                if (now_ms() > deadline)
                        return timed_out(daemon, " was started and does not answer", err);
                pause_before_retry();
        }
}

/* With the starters' lock. Somebody else may have started one while we waited for that. */
static int start_locked(const struct hf_spawn *daemon, const char *socket, int64_t deadline,
                        struct holdfast_error *err)
{
        const char *program = secure_getenv(daemon->variable);
        int r;

        if (hf_socket_probe(socket, NULL, NULL) > 0)
                return 0;
        if (!program || !program[0])
                program = daemon->program;
        r = start(daemon, program, deadline, err);
        /* It may have lost against one that was started without our lock. */
        if (r < 0)
                return hf_socket_probe(socket, NULL, NULL) > 0 ? 0 : r;
        r = wait_for_answer(daemon, socket, deadline, err);
        return r < 0 ? r : 1;
}

static int start_if_needed(const struct hf_spawn *daemon, struct holdfast_error *err)
{
        hf_cleanup_paths struct hf_paths paths = {0};
        int64_t deadline = now_ms() + START_TIMEOUT_MS;
        hf_cleanup_fd int lock_fd = -1;
        struct hf_error error = {0};
        const char *socket = NULL;
        int r;

        r = hf_paths_init(&paths, &error);
        if (r >= 0) {
                socket = daemon->socket(&paths);
                r = hf_socket_probe(socket, NULL, &error);
        }
        if (r < 0)
                return hf_fail_from(err, r, &error);
        if (r > 0 || (paths.privileged && !secure_getenv("HOLDFAST_RUN_DIR")))
                return 0;
        r = hf_path_make_dirs(paths.run_dir, 0700, &error);
        if (r < 0)
                return hf_fail_from(err, r, &error);
        r = lock_starters(daemon, paths.run_dir, deadline, &lock_fd, err);
        return r < 0 ? r : start_locked(daemon, socket, deadline, err);
}

int hf_spawn_if_needed(const struct hf_spawn *daemon, struct holdfast_error *err)
{
        int r = start_if_needed(daemon, err);

        /* Whatever the system refused, what comes of it is that nobody serves. */
        if (r < 0 && err && err->code == HOLDFAST_E_SYSTEM)
                err->code = HOLDFAST_E_NO_DAEMON;
        return r;
}

static const char *lock_socket(const struct hf_paths *paths)
{
        return paths->socket;
}

HF_PUBLIC int holdfast_daemon_start(unsigned int flags, struct holdfast_error *err)
{
        static const struct hf_spawn daemon = {
                .what = "lock daemon",
                .name = "holdfastd",
                .variable = "HOLDFAST_DAEMON",
                .program = HF_SBINDIR "/holdfastd",
                .socket = lock_socket,
        };

        if (flags)
                return hf_fail(err, EINVAL, HOLDFAST_E_INVALID, "unknown flags 0x%x", flags);
        return hf_spawn_if_needed(&daemon, err);
}
