/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/program.h"

#include "base/cleanup.h"
#include "base/clock.h"

#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

/* The watcher has nothing to wait for but us: killed, it is gone at once. */
#define WATCHER_ENDS_MS 1000

/* Where the watcher says how it went; behind the program's standard descriptors. */
#define REPORT_FD 3

extern char **environ;

/* What the watcher, or the program's own process before exec, tells us. One write each. */
struct report {
        int error;  /* of what could not be done, or 0 */
        int status; /* as waitpid gives it */
};

struct plan {
        const char *path;
        const char *const *argv;
        int output, report; /* ends to write to */
        pid_t parent;
};

/* ---- in the new processes: nothing but system calls, for other threads may hold any lock ---- */

static _Noreturn void give_up(int fd, int number)
{
        const struct report report = {.error = number};
        ssize_t n = write(fd, &report, sizeof(report));

        _exit(n == (ssize_t)sizeof(report) ? 127 : 126);
}

static void default_signals(void)
{
        const struct sigaction action = {.sa_handler = SIG_DFL};

        for (int number = 1; number < NSIG; number++)
                (void)sigaction(number, &action, NULL);
}

/* 0 to 2 as the program shall have them, REPORT_FD, and nothing else. */
static void arrange_descriptors(const struct plan *plan)
{
        int output = fcntl(plan->output, F_DUPFD_CLOEXEC, REPORT_FD + 1);
        int report = fcntl(plan->report, F_DUPFD_CLOEXEC, REPORT_FD + 1);
        int null = open("/dev/null", O_RDWR | O_CLOEXEC);

        if (output < 0 || report < 0 || null < 0 || dup3(report, REPORT_FD, O_CLOEXEC) < 0)
                give_up(plan->report, errno);
        /* dup2 of a descriptor on itself would leave it close-on-exec. */
        if (null <= STDERR_FILENO)
                (void)fcntl(null, F_SETFD, 0);
        if (dup2(null, STDIN_FILENO) < 0 || dup2(null, STDERR_FILENO) < 0 ||
            dup2(output, STDOUT_FILENO) < 0 || close_range(REPORT_FD + 1, ~0U, 0) < 0)
                give_up(REPORT_FD, errno);
}

/* Also if the parent has ended before it was asked for. */
static void end_with(pid_t parent)
{
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
                _exit(127);
}

static _Noreturn void become_program(const struct plan *plan, pid_t watcher)
{
        sigset_t none;

        end_with(watcher);
        (void)sigemptyset(&none);
        (void)sigprocmask(SIG_SETMASK, &none, NULL);
        (void)execve(plan->path, (char *const *)(uintptr_t)plan->argv, environ);
        give_up(REPORT_FD, errno);
}

static _Noreturn void watch(const struct plan *plan)
{
        struct report report = {0};
        pid_t self = getpid(), child;

        end_with(plan->parent);
        default_signals();
        arrange_descriptors(plan);
        child = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
        if (child < 0)
                give_up(REPORT_FD, errno);
        if (child == 0)
                become_program(plan, self);
        while (waitpid(child, &report.status, 0) < 0)
                if (errno != EINTR)
                        give_up(REPORT_FD, errno);
        _exit(write(REPORT_FD, &report, sizeof(report)) == (ssize_t)sizeof(report) ? 0 : 126);
}

/* ---- in ours ----------------------------------------------------------------------------- */

/*
 * A fork without a signal to the parent. Sandboxes that cannot look into the arguments
 * of clone3 pretend that there is none; the older call has its first two arguments in
 * another order on one machine.
 */
static pid_t fork_silently(int *ret_pidfd)
{
        int32_t pidfd = -1;
        struct clone_args args = {.flags = CLONE_PIDFD, .pidfd = (uint64_t)(uintptr_t)&pidfd};
        long pid = syscall(SYS_clone3, &args, sizeof(args));

        if (pid < 0 && errno == ENOSYS)
#ifdef __s390__
                pid = syscall(SYS_clone, 0, CLONE_PIDFD, &pidfd, 0, 0);
#else
                pid = syscall(SYS_clone, CLONE_PIDFD, 0, &pidfd, 0, 0);
#endif
        if (pid > 0)
                *ret_pidfd = pidfd;
        return pid < 0 ? -errno : (pid_t)pid;
}

/* No handler of the process that we are in may run in the child. */
static int start_watcher(const struct plan *plan, int *ret_pidfd)
{
        sigset_t all, before;
        pid_t pid;
        int r;

        (void)sigfillset(&all);
        r = pthread_sigmask(SIG_SETMASK, &all, &before);
        if (r != 0)
                return -r;
        pid = fork_silently(ret_pidfd);
        if (pid == 0)
                watch(plan);
        (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
        return pid < 0 ? pid : 0;
}

/* Milliseconds until the deadline, rounded up; 0 when it has passed. */
static int time_left(uint64_t deadline)
{
        uint64_t at = hf_clock_nsec(CLOCK_MONOTONIC), left;

        left = at < deadline ? (deadline - at - 1) / 1000000 + 1 : 0;
        return left > INT_MAX ? INT_MAX : (int)left;
}

/* Where the output goes. */
struct sink {
        char *text;
        size_t used, room; /* without the NUL behind it */
        size_t max;        /* how far room may grow; as it is if it is not ours to grow */
        bool cut;          /* more came than there was room for */
};

static void make_room(struct sink *sink)
{
        size_t room = sink->room * 2 < sink->max ? sink->room * 2 : sink->max;
        char *grown = room > sink->room ? realloc(sink->text, room + 1) : NULL;

        if (!grown)
                return;
        sink->text = grown;
        sink->room = room;
}

/* Takes what has come so far; what does not fit is dropped, so that the program can go on. */
static void take_output(int fd, struct sink *sink)
{
        char surplus[HF_PROGRAM_TEXT_MAX];
        ssize_t n;

        do {
                size_t room;

                if (sink->used == sink->room)
                        make_room(sink);
                room = sink->room - sink->used;
                n = read(fd, room ? sink->text + sink->used : surplus,
                         room ? room : sizeof(surplus));
                sink->cut |= n > 0 && !room;
                if (n > 0 && room)
                        sink->used += (size_t)n;
        } while (n > 0 || (n < 0 && errno == EINTR));
}

/* Ends the watcher, if it has not ended, and takes it from the table of processes. */
static void end_watcher(int pidfd)
{
        struct pollfd end = {.fd = pidfd, .events = POLLIN};
        siginfo_t info;

        (void)syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0);
        if (poll(&end, 1, WATCHER_ENDS_MS) > 0)
                (void)waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED | __WALL);
}

/* Returns 0 when the watcher has ended, or -ETIMEDOUT. */
static int follow(int pidfd, int output, uint64_t deadline, struct sink *sink)
{
        struct pollfd fds[] = {{.fd = pidfd, .events = POLLIN}, {.fd = output, .events = POLLIN}};
        int left;

        do {
                left = time_left(deadline);
                if (poll(fds, HF_ARRAY_LEN(fds), left) < 0)
                        continue;
                if (fds[1].revents)
                        take_output(output, sink);
                /* The other end was closed: nothing more comes, and it would be told for ever. */
                if (fds[1].revents & (POLLHUP | POLLERR))
                        fds[1].fd = -1;
                if (fds[0].revents) {
                        take_output(output, sink);
                        return 0;
                }
        } while (left > 0);
        return -ETIMEDOUT;
}

static int judge(const char *path, int fd, int *ret_status, struct hf_error *err)
{
        struct report report;
        ssize_t n = read(fd, &report, sizeof(report));

        if (n != (ssize_t)sizeof(report))
                return hf_error_sys(err, EIO, "%s was not seen to its end", path);
        if (report.error)
                return hf_error_sys(err, report.error, "cannot run %s", path);
        if (!WIFEXITED(report.status))
                return hf_error_set(err, EIO, HF_ERR_INTERNAL, HF_FROM_LOCKING,
                                    "%s was ended by signal %d", path, WTERMSIG(report.status));
        *ret_status = WEXITSTATUS(report.status);
        return 0;
}

static int run(const char *path, const char *const *argv, uint64_t deadline, struct sink *sink,
               int *ret_status, struct hf_error *err)
{
        hf_cleanup_fd int output = -1, output_end = -1, report = -1, report_end = -1, pidfd = -1;
        struct plan plan = {.path = path, .argv = argv, .parent = getpid()};
        int pair[2], r;

        if (pipe2(pair, O_CLOEXEC | O_NONBLOCK) < 0)
                return hf_error_sys(err, errno, "cannot run %s", path);
        output = pair[0];
        output_end = pair[1];
        if (pipe2(pair, O_CLOEXEC | O_NONBLOCK) < 0)
                return hf_error_sys(err, errno, "cannot run %s", path);
        report = pair[0];
        report_end = pair[1];
        plan.output = output_end;
        plan.report = report_end;
        /* The program may write to a pipe like any other. */
        if (fcntl(output_end, F_SETFL, 0) < 0)
                return hf_error_sys(err, errno, "cannot run %s", path);
        r = start_watcher(&plan, &pidfd);
        if (r < 0)
                return hf_error_sys(err, -r, "cannot run %s", path);
        hf_close_fd(&output_end);
        hf_close_fd(&report_end);
        r = follow(pidfd, output, deadline, sink);
        end_watcher(pidfd);
        if (r < 0)
                return hf_error_set(err, ETIMEDOUT, HF_ERR_RPC, HF_FROM_LOCKING,
                                    "%s did not end in time", path);
        return judge(path, report, ret_status, err);
}

int hf_program_run(const char *path, const char *const *argv, uint64_t deadline,
                   struct hf_program_result *ret, struct hf_error *err)
{
        struct hf_program_result result = {0};
        struct sink sink = {.text = result.text, .room = sizeof(result.text) - 1};
        int r = run(path, argv, deadline, &sink, &result.status, err);

        if (r >= 0)
                *ret = result;
        return r;
}

int hf_program_read(const char *path, const char *const *argv, uint64_t deadline, size_t max,
                    char **ret, int *ret_status, struct hf_error *err)
{
        size_t room = max < HF_PROGRAM_TEXT_MAX ? max : HF_PROGRAM_TEXT_MAX;
        hf_cleanup_free char *text = NULL;
        struct sink sink = {.text = malloc(room + 1), .room = room, .max = max};
        int r;

        if (!sink.text)
                return hf_error_sys(err, ENOMEM, "cannot run %s", path);
        r = run(path, argv, deadline, &sink, ret_status, err);
        text = sink.text;
        if (r < 0)
                return r;
        if (sink.cut)
                return hf_error_set(err, E2BIG, HF_ERR_INTERNAL, HF_FROM_LOCKING,
                                    "%s says more than %zu bytes", path, max);
        text[sink.used] = '\0';
        *ret = hf_steal_ptr(text);
        return 0;
}

static bool is_program(const char *path)
{
        struct stat st;

        return stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, X_OK) == 0;
}

/* The first in a list of directories with colons between them. */
static bool find_in(const char *dirs, const char *name, char ret[static PATH_MAX])
{
        for (const char *end; *dirs; dirs = *end ? end + 1 : end) {
                int len;

                end = strchrnul(dirs, ':');
                len = snprintf(ret, PATH_MAX, "%.*s/%s", (int)(end - dirs), dirs, name);
                /* A directory that is relative depends on where we happen to be. */
                if (dirs[0] == '/' && len > 0 && len < PATH_MAX && is_program(ret))
                        return true;
        }
        return false;
}

int hf_program_find(const char *name, char ret[static PATH_MAX])
{
        const char *path = secure_getenv("PATH");

        if ((path && find_in(path, name, ret)) ||
            find_in("/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin", name, ret))
                return 0;
        return -ENOENT;
}
