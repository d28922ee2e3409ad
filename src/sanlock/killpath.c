/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* holdfast-sanlock-killpath NOTE: run by sanlock; see killpath.h. */
#include "sanlock/killpath.h"

#include "base/log.h"
#include "base/process.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>

#define PROGRAM "holdfast-sanlock-killpath"

static void time_is_up(int number)
{
        static const char text[] = PROGRAM ": not ended in time\n";

        (void)number;
        /* Nothing can be done about a failure here. */
        if (write(STDERR_FILENO, text, sizeof(text) - 1) < 0)
                _exit(EX_OSERR);
        _exit(EX_TEMPFAIL);
}

/* Else the next file to be opened would be taken for one of them. */
static bool has_standard_files(void)
{
        int fd;

        do
                fd = open("/dev/null", O_RDWR | O_NOCTTY);
        while (fd >= 0 && fd <= STDERR_FILENO);
        if (fd < 0)
                return false;
        (void)close(fd);
        return true;
}

/* Nothing of whoever has started us is left that could change what we do. */
static bool begin(void)
{
        struct sigaction act = {.sa_handler = time_is_up};
        sigset_t none;

        if (!has_standard_files() || clearenv() != 0 || chdir("/") < 0)
                return false;
        (void)umask(077);
        for (int number = 1; number < NSIG; number++)
                (void)signal(number, SIG_DFL);
        (void)signal(SIGPIPE, SIG_IGN);
        (void)sigemptyset(&none);
        if (sigaction(SIGALRM, &act, NULL) < 0 || sigprocmask(SIG_SETMASK, &none, NULL) < 0)
                return false;
        (void)alarm(HF_KILLPATH_SECONDS);
        hf_log_init(PROGRAM);
        (void)hf_log_set_level(HF_LOG_INFO, NULL);
        return hf_log_set_outputs("2:syslog:" PROGRAM " 2:stderr", NULL) >= 0;
}

/* The process that the note means. -ESRCH: it has ended, and the pid may be another's. */
static int find_process(struct hf_killpath *vm, struct hf_error *err)
{
        struct hf_process process;
        int r = hf_process_open(vm->note.pid, &vm->pidfd, &process, err);

        if (r < 0)
                return r;
        if (process.start == vm->note.start)
                return 0;
        return hf_error_sys(err, ESRCH, "the process %d of %s has ended", vm->note.pid,
                            vm->note.path);
}

/* Which daemon libsanlock asks. */
static int choose_daemon(const struct hf_killpath *vm, struct hf_error *err)
{
        if (!vm->note.run_dir || setenv("SANLOCK_RUN_DIR", vm->note.run_dir, 1) == 0)
                return 0;
        return hf_error_sys(err, errno, "cannot choose the sanlock daemon");
}

static int act(struct hf_killpath *vm, struct hf_error *err)
{
        switch (vm->note.action) {
        case HF_SANLOCK_ACTION_POWEROFF:
                return hf_killpath_poweroff(vm, err);
        case HF_SANLOCK_ACTION_PAUSE:
                return hf_killpath_pause(vm, err);
        default:
                return hf_error_set(err, EINVAL, HF_ERR_INVALID_ARG, HF_FROM_LOCKING,
                                    "its note asks for nothing");
        }
}

static int prepare(const char *path, struct hf_killpath *vm, struct hf_error *err)
{
        int r = hf_sanlock_note_read(path, &vm->note, err);

        if (r >= 0)
                r = find_process(vm, err);
        if (r >= 0)
                r = hf_killpath_rights(vm, err);
        return r < 0 ? r : choose_daemon(vm, err);
}

static void report(const struct hf_killpath *vm, int r, const struct hf_error *error)
{
        const char *name = vm->note.name ? vm->note.name : "?";

        if (r < 0)
                hf_log(HF_LOG_ERROR, "killpath", "VM %s (process %d) is losing its leases: %s; %s",
                       name, vm->note.pid, vm->done, error->text);
        else
                hf_log(HF_LOG_WARNING, "killpath", "VM %s (process %d) is losing its leases: %s%s",
                       name, vm->note.pid, vm->done,
                       vm->note.action == HF_SANLOCK_ACTION_PAUSE
                               ? ", and its leases were given back ('holdfast sanlock resume')"
                               : ", and it has ended");
}

static void clear(struct hf_killpath *vm)
{
        hf_sanlock_note_clear(&vm->note);
        hf_close_fd(&vm->pidfd);
}

int main(int argc, char **argv)
{
        hf_cleanup(clear) struct hf_killpath vm = {.pidfd = -1};
        struct hf_error error = {0};
        int r;

        if (!begin())
                return EX_OSERR;
        if (argc != 2)
                return EX_USAGE;
        r = prepare(argv[1], &vm, &error);
        if (r < 0) {
                hf_log(HF_LOG_ERROR, "killpath", "nothing is done: %s", error.text);
                return r == -ESRCH ? EX_OK : EX_NOPERM;
        }
        r = act(&vm, &error);
        report(&vm, r, &error);
        return r < 0 ? EX_TEMPFAIL : EX_OK;
}
