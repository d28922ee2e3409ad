/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "keeper/keeper-private.h"

#include "base/cleanup.h"
#include "base/process.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

/*
 * Asking a program whether it could take over, while we serve.
 *
 * An execution that succeeds cannot be undone: a program that then finds a
 * library missing takes every descriptor along. So it is started once before, by
 * the same descriptor that is executed later: nobody can put another file in its
 * place between.
 *
 * The process for it starts with our table and gets one of its own that ends
 * behind the keeper's numbers, made in one step. So it takes no time however many
 * descriptors there are, it never holds one of our locks, and none of our files
 * is closed in it.
 */

/* Exit status where the program could not be executed, as shells have it. */
#define NOT_EXECUTED 127

/* How long a killed probe may take to be gone, before it is left alone. */
#define END_MS 1000

/* As it will be executed, with a question; NULL without memory. */
static char **make_argv(char **argv, char *version)
{
        size_t n = 0;
        char **more;

        while (argv[n])
                n++;
        more = calloc(n + 3, sizeof(*more));
        if (!more)
                return NULL;
        memcpy(more, argv, n * sizeof(*more));
        more[n] = (char *)(uintptr_t) "--probe-state";
        more[n + 1] = version;
        return more;
}

static _Noreturn void be_probe(struct hf_keeper *keeper, pid_t server)
{
        int program = hf_keeper_fd(keeper, HF_KEEPER_FD_PROGRAM);
        char version[16];
        char **argv;
        sigset_t none;

        /* It may hang, so it must not outlive who would end it. */
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != server)
                _exit(NOT_EXECUTED);
        (void)snprintf(version, sizeof(version), "%u", keeper->header->version);
        argv = make_argv(keeper->argv, version);
        if (argv &&
            close_range((unsigned int)keeper->header->end_fd, ~0U, CLOSE_RANGE_UNSHARE) >= 0) {
                /* What our starter left open among our numbers is not the program's business. */
                (void)close_range((unsigned int)keeper->header->first_fd + HF_KEEPER_FD_COUNT, ~0U,
                                  CLOSE_RANGE_CLOEXEC);
                (void)sigemptyset(&none);
                (void)sigprocmask(SIG_SETMASK, &none, NULL);
                (void)syscall(SYS_execveat, program, "", argv, keeper->env + 1, AT_EMPTY_PATH);
        }
        keeper->header->probe_error = errno;
        _exit(NOT_EXECUTED);
}

/* Opens the program, at its number. */
static int open_program(struct hf_keeper *keeper, struct hf_error *err)
{
        const char *path = keeper->header->path;
        hf_cleanup_fd int fd = -1;
        struct stat st;
        int r;

        if (!*path)
                return hf_error_set(err, ENOENT, HF_ERR_OPERATION_INVALID, HF_FROM_NONE,
                                    "the path of this program could not be found out");
        fd = open(path, O_PATH | O_CLOEXEC);
        if (fd < 0 || fstat(fd, &st) < 0)
                return hf_error_sys(err, errno, "cannot open \"%s\"", path);
        if (!S_ISREG(st.st_mode))
                return hf_error_set(err, EACCES, HF_ERR_OPERATION_INVALID, HF_FROM_NONE,
                                    "\"%s\" is no regular file", path);
        r = hf_keeper_numbers_place(hf_steal_fd(&fd), hf_keeper_fd(keeper, HF_KEEPER_FD_PROGRAM));
        if (r < 0)
                return hf_error_sys(err, -r, "cannot keep \"%s\" open", path);
        return 0;
}

static int check_state(const struct hf_keeper *keeper, struct hf_error *err)
{
        if (!keeper->supervised)
                return hf_error_set(err, EOPNOTSUPP, HF_ERR_OPERATION_INVALID, HF_FROM_NONE,
                                    "no upgrade without a supervisor");
        if (hf_process_pidfd_is_dead(hf_keeper_supervisor_fd(keeper)) != 0)
                return hf_error_set(err, ESRCH, HF_ERR_OPERATION_INVALID, HF_FROM_NONE,
                                    "no upgrade while the supervisor is dead");
        if (!keeper->header->ready)
                return hf_error_set(err, EAGAIN, HF_ERR_OPERATION_INVALID, HF_FROM_NONE,
                                    "no upgrade before the program is ready");
        if (keeper->header->probe)
                return hf_error_set(err, EBUSY, HF_ERR_OPERATION_INVALID, HF_FROM_NONE,
                                    "an upgrade is being prepared already");
        return 0;
}

int hf_keeper_probe_begin(struct hf_keeper *keeper, int *ret_pidfd, struct hf_error *err)
{
        pid_t server = getpid(), pid;
        int pidfd, r;

        r = check_state(keeper, err);
        if (r >= 0)
                r = open_program(keeper, err);
        if (r < 0)
                return r;
        keeper->header->probe_error = 0;
        pid = hf_keeper_clone();
        if (pid == 0)
                be_probe(keeper, server);
        if (pid < 0) {
                hf_keeper_numbers_forget_program(keeper);
                return hf_error_sys(err, -pid, "cannot make a process");
        }
        keeper->header->probe = pid;
        pidfd = pidfd_open(pid, 0);
        if (pidfd < 0) {
                r = -errno;
                (void)hf_keeper_probe_end(keeper, NULL);
                return hf_error_sys(err, -r, "cannot watch a process");
        }
        *ret_pidfd = pidfd;
        return 0;
}

/*
 * Reaps the probe; if it runs, ends it first. Returns 1 with its status, or 0
 * with the status of a process that was killed: one that hangs in the kernel may
 * be left to whoever reaps it.
 */
static int reap_probe(pid_t pid, int *ret_status)
{
        hf_cleanup_fd int pidfd = -1;
        struct pollfd poller;

        *ret_status = SIGKILL;
        if (waitpid(pid, ret_status, WNOHANG) == pid)
                return 1;
        (void)kill(pid, SIGKILL);
        pidfd = pidfd_open(pid, 0);
        poller = (struct pollfd){.fd = pidfd, .events = POLLIN};
        if (pidfd >= 0)
                (void)poll(&poller, 1, END_MS);
        (void)waitpid(pid, ret_status, WNOHANG);
        return 0;
}

static int judge(const struct hf_keeper_header *header, int status, struct hf_error *err)
{
        const char *path = header->path;

        if (header->probe_error)
                return hf_error_sys(err, header->probe_error, "cannot execute \"%s\"", path);
        if (WIFSIGNALED(status))
                return hf_error_set(err, ENOEXEC, HF_ERR_OPERATION_INVALID, HF_FROM_NONE,
                                    "\"%s\" was ended by signal %d when asked whether it can "
                                    "take over state version %u",
                                    path, WTERMSIG(status), header->version);
        if (WEXITSTATUS(status))
                return hf_error_set(err, ENOEXEC, HF_ERR_OPERATION_INVALID, HF_FROM_NONE,
                                    "\"%s\" cannot take over state version %u (exit status %d)",
                                    path, header->version, WEXITSTATUS(status));
        return 0;
}

int hf_keeper_probe_end(struct hf_keeper *keeper, struct hf_error *err)
{
        struct hf_keeper_header *header = keeper->header;
        int status, r;

        if (!header->probe)
                return hf_error_set(err, EINVAL, HF_ERR_OPERATION_INVALID, HF_FROM_NONE,
                                    "no upgrade is being prepared");
        if (reap_probe(header->probe, &status))
                r = judge(header, status, err);
        else
                r = hf_error_set(err, ETIMEDOUT, HF_ERR_OPERATION_INVALID, HF_FROM_NONE,
                                 "\"%s\" did not say in time whether it can take over",
                                 header->path);
        header->probe = 0;
        if (r < 0)
                hf_keeper_numbers_forget_program(keeper);
        return r;
}

void hf_keeper_probe_leftover(struct hf_keeper *keeper)
{
        int status;

        /* Only a child of ours: else the number may be anybody's by now. */
        if (keeper->header->probe > 0 && waitpid(keeper->header->probe, &status, WNOHANG) == 0)
                (void)kill(keeper->header->probe, SIGKILL);
        keeper->header->probe = 0;
}
