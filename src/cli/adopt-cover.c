/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The program that stands in virtlockd's place for a moment.
 *
 * virtlockd executes the path that it was started with. Nothing of an installed package is touched
 * for that: a script on a filesystem of memory is mounted over that path, in the mount namespace
 * that virtlockd sees, and the mount is taken away when it has been executed. The script executes
 * holdfastd by its own path: of a holdfastd that was mounted there itself the kernel would
 * call the program by virtlockd's name, and its next upgrade would execute virtlockd.
 *
 * A holdfastd that finds that it cannot go on executes that path again, which then is virtlockd:
 * the script knows of the second time, and removes its mount itself.
 *
 * What is left by a command that was killed is known by the name of that filesystem. While it
 * stands, a virtlockd that is started or executes itself becomes a holdfastd, which is no harm.
 */
#include "cli/adopt.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/program.h"
#include "base/strv.h"
#include "storage/kernel-text.h"

#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>

/* What a mount of ours is called in the list of mounts. */
#define SOURCE "holdfast-adopt"

/* Where the filesystem of memory is until the script stands at its place. */
#define FOLDER HF_RUNSTATEDIR "/holdfast/adopt"
#define SCRIPT FOLDER "/virtlockd"

/* A program that says its version takes no time. */
#define TRY_NSEC (UINT64_C(20) * 1000000000)

/* Of the service manager, for who was not told of one at the start. */
#define NOTIFY "NOTIFY_SOCKET=/run/systemd/notify\nexport NOTIFY_SOCKET\n"

/*
 * A holdfastd that cannot go on executes what it stands for: then the mount is in the way, and has
 * done its service.
 */
#define SCRIPT_BEGIN                                                                               \
        "#!/bin/sh\n"                                                                              \
        "# virtlockd becomes holdfastd: put here for a moment by holdfast adopt.\n"                \
        "if [ \"$HOLDFAST_STANDS_FOR\" = \"$0\" ]; then\n"                                         \
        "  unset HOLDFAST_STANDS_FOR\n"                                                            \
        "  umount -l \"$0\" && exec \"$0\" \"$@\"\n"                                               \
        "fi\n"                                                                                     \
        "HOLDFAST_STANDS_FOR=$0\n"                                                                 \
        "export HOLDFAST_STANDS_FOR\n"

struct task {
        const struct hf_adopt_daemon *daemon;
        const char *program;
        bool managed;
        char said[NAME_MAX];
};

/* What a task in the other namespace answers; shorter than a pipe takes in one piece. */
struct answer {
        int r;
        struct hf_error error;
        char said[NAME_MAX];
};

_Static_assert(sizeof(struct answer) <= 4096, "it is written in one piece");

typedef int (*task_fn)(struct task *task, struct hf_error *err);

static _Noreturn void be_inside(struct task *task, task_fn fn, int answer_fd)
{
        hf_cleanup_fd int ns = openat(task->daemon->proc, "ns/mnt", O_RDONLY | O_CLOEXEC);
        struct answer answer = {0};

        if (ns < 0 || setns(ns, CLONE_NEWNS) < 0)
                answer.r = hf_error_sys(&answer.error, errno,
                                        "cannot enter the mount namespace of virtlockd (pid %d)",
                                        (int)task->daemon->process.pid);
        else
                answer.r = fn(task, &answer.error);
        memcpy(answer.said, task->said, sizeof(answer.said));
        _exit(write(answer_fd, &answer, sizeof(answer)) == (ssize_t)sizeof(answer) ? 0 : 1);
}

/* Does something where virtlockd is: in a process of its own, as there is no way back from there.
 */
static int do_inside(struct task *task, task_fn fn, struct hf_error *err)
{
        struct answer answer;
        int pipe[2];
        pid_t child;
        ssize_t n;

        if (pipe2(pipe, O_CLOEXEC) < 0)
                return hf_error_sys(err, errno, "cannot make a pipe");
        child = fork();
        if (child == 0)
                be_inside(task, fn, pipe[1]);
        (void)close(pipe[1]);
        n = child < 0 ? -1 : TEMP_FAILURE_RETRY(read(pipe[0], &answer, sizeof(answer)));
        (void)close(pipe[0]);
        if (child > 0)
                (void)TEMP_FAILURE_RETRY(waitpid(child, NULL, 0));
        if (n != (ssize_t)sizeof(answer))
                return hf_error_sys(err, child < 0 ? EAGAIN : EIO,
                                    "cannot work in the mount "
                                    "namespace of virtlockd");
        if (answer.r < 0 && err)
                *err = answer.error;
        memcpy(task->said, answer.said, sizeof(task->said));
        return answer.r;
}

/* ---- in there --------------------------------------------------------------------------- */

/* In the shell's quotes nothing but a quote means anything. */
static void put_quoted(FILE *file, const char *text)
{
        (void)fputc('\'', file);
        for (; *text; text++)
                if (*text == '\'')
                        (void)fputs("'\\''", file);
                else
                        (void)fputc(*text, file);
        (void)fputc('\'', file);
}

static int write_script(const struct task *task)
{
        int fd = open(SCRIPT, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0755);
        FILE *file = fd < 0 ? NULL : fdopen(fd, "w");

        if (!file)
                return -errno;
        (void)fputs(SCRIPT_BEGIN, file);
        if (task->managed)
                (void)fputs(NOTIFY, file);
        (void)fputs("exec ", file);
        put_quoted(file, task->program);
        (void)fputs(" \"$@\"\n", file);
        (void)fchmod(fd, 0755);
        return fclose(file) == 0 ? 0 : -errno;
}

/* The last mount that is ours, or NULL; to be freed. */
static char *find_mount(void)
{
        hf_cleanup_fd int fd = open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC);
        hf_cleanup_free char *list = fd < 0 ? NULL : hf_kernel_text(fd);
        char *found = NULL, *state = NULL;

        for (char *line = list ? strtok_r(list, "\n", &state) : NULL; line;
             line = strtok_r(NULL, "\n", &state)) {
                char point[PATH_MAX];
                const char *tail = strstr(line, " - ");

                if (!tail || strncmp(tail, " - tmpfs " SOURCE " ", 10 + strlen(SOURCE)) != 0 ||
                    sscanf(line, "%*s %*s %*s %*s %4095s", point) != 1)
                        continue;
                hf_kernel_text_unescape(point);
                free(found);
                found = strdup(point);
        }
        return found;
}

static int uncover(struct task *task, struct hf_error *err)
{
        char *point;

        (void)task;
        while ((point = find_mount())) {
                int r = umount2(point, MNT_DETACH | UMOUNT_NOFOLLOW) < 0
                                ? hf_error_sys(err, errno, "cannot unmount %s", point)
                                : 0;

                free(point);
                if (r < 0)
                        return r;
        }
        (void)rmdir(FOLDER);
        return 0;
}

static int mount_script(struct task *task, struct hf_error *err)
{
        int r = hf_path_make_dirs(FOLDER, 0755, err);

        if (r < 0)
                return r;
        if (mount(SOURCE, FOLDER, "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755,size=64k") < 0)
                return hf_error_sys(err, errno, "cannot mount a filesystem of memory at %s",
                                    FOLDER);
        r = write_script(task);
        if (r < 0)
                return hf_error_sys(err, -r, "cannot write %s", SCRIPT);
        if (mount(SCRIPT, task->daemon->program, NULL, MS_BIND, NULL) < 0)
                return hf_error_sys(err, errno, "cannot mount %s over %s", SCRIPT,
                                    task->daemon->program);
        if (umount2(FOLDER, MNT_DETACH) < 0)
                return hf_error_sys(err, errno, "cannot unmount %s", FOLDER);
        (void)rmdir(FOLDER);
        return 0;
}

static int cover(struct task *task, struct hf_error *err)
{
        int r = uncover(task, err);

        if (r >= 0)
                r = mount_script(task, err);
        if (r < 0)
                (void)uncover(task, NULL);
        return r;
}

static int look_for_cover(struct task *task, struct hf_error *err)
{
        hf_cleanup_free char *point = find_mount();

        (void)task;
        (void)err;
        return point != NULL;
}

static int make_words(const struct task *task, char ***ret)
{
        int r = hf_strv_append(ret, task->program);

        for (char **word = task->daemon->argv + 1; r >= 0 && *word; word++)
                r = hf_strv_append(ret, *word);
        return r < 0 ? r : hf_strv_append(ret, "--version");
}

static int try(struct task *task, struct hf_error *err)
{
        hf_cleanup_strv char **words = NULL;
        struct hf_program_result result = {0};
        int r = make_words(task, &words);

        if (r >= 0)
                r = hf_program_run(task->program, (const char *const *)words,
                                   hf_clock_nsec(CLOCK_MONOTONIC) + TRY_NSEC, &result, err);
        if (r < 0) {
                hf_error_prefix(err, "%s cannot be run where virtlockd runs", task->program);
                return r;
        }
        if (result.status != 0)
                return hf_error_set(err, EINVAL, HF_ERR_INVALID_ARG, HF_FROM_NONE,
                                    "%s does not understand the arguments that virtlockd was "
                                    "started with (exit status %d)",
                                    task->program, result.status);
        result.text[strcspn(result.text, "\n")] = '\0';
        (void)snprintf(task->said, sizeof(task->said), "%.*s", NAME_MAX - 1, result.text);
        return 0;
}

/* ---- from outside ----------------------------------------------------------------------- */

int hf_adopt_cover(const struct hf_adopt_daemon *daemon, const char *holdfastd, bool managed,
                   struct hf_error *err)
{
        struct task task = {.daemon = daemon, .program = holdfastd, .managed = managed};

        return do_inside(&task, cover, err);
}

int hf_adopt_uncover(const struct hf_adopt_daemon *daemon, struct hf_error *err)
{
        struct task task = {.daemon = daemon};
        int r = do_inside(&task, uncover, err);

        return r < 0 ? r : uncover(&task, err);
}

int hf_adopt_uncover_here(struct hf_error *err)
{
        struct task task = {0};

        return uncover(&task, err);
}

bool hf_adopt_is_covered(const struct hf_adopt_daemon *daemon)
{
        struct task task = {.daemon = daemon};

        return do_inside(&task, look_for_cover, NULL) > 0;
}

int hf_adopt_try(const struct hf_adopt_daemon *daemon, const char *program,
                 char ret[static NAME_MAX], struct hf_error *err)
{
        struct task task = {.daemon = daemon, .program = program};
        int r = do_inside(&task, try, err);

        if (r >= 0)
                memcpy(ret, task.said, sizeof(task.said));
        return r;
}
