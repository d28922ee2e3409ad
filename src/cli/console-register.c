/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/console-register.h"

#include "cli/message.h"
#include "vm/pty.h"
#include "vm/qmp.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/process.h"
#include "base/socket.h"

#include <holdfast/console.h>

#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* A VMM that runs has its terminals by then, also on a machine with much to do. */
#define PATIENCE_MS 10000

/* Between two looks whether it has. */
#define PAUSE_MS 20

struct follower {
        const struct hf_plan *plan;
        const char *monitor; /* NULL: none */
        unsigned char uuid[HOLDFAST_UUID_SIZE];
        pid_t pid; /* of the VMM */
        int pidfd;
        int exec_fd;     /* the VMM runs when this is closed at its other end */
        bool asks_owner; /* who listens at the monitor is the VMM */
        int64_t deadline;
        int kept[2]; /* a socketpair with the terminals in flight; -1: there is none */
        struct hf_ptys known;
};

/* Has to do with terminals, as far as words can tell; what -readconfig reads may. */
static bool mentions_terminal(char *const *argv)
{
        for (; *argv; argv++)
                if (strstr(*argv, "pty") || strstr(*argv, "readconfig"))
                        return true;
        return false;
}

bool hf_console_is_wanted(const struct hf_plan *plan)
{
        return !plan->no_console && mentions_terminal(plan->vmm);
}

/* ---- whose terminals they are ---- */

/* Whether a value of -mon is about that device: "LABEL,..." or "...,chardev=LABEL,...". */
static bool names_device(const char *value, const char *label)
{
        for (const char *part = value; part; part = strchr(part, ',')) {
                size_t len;

                part += *part == ',';
                len = strcspn(part, ",");
                if (len > 8 && !strncmp(part, "chardev=", 8)) {
                        part += 8;
                        len -= 8;
                }
                if (len == strlen(label) && !strncmp(part, label, len))
                        return true;
        }
        return false;
}

/* QEMU's own monitor may be on a terminal, too. It is no guest's. */
static bool is_monitor(const struct follower *follower, const char *label)
{
        char **argv = follower->plan->vmm;

        if (!strncmp(label, "compat_monitor", 14))
                return true;
        for (; argv[0] && argv[1]; argv++)
                if (!strcmp(argv[0] + strspn(argv[0], "-"), "mon") && argv[0][0] == '-' &&
                    names_device(argv[1], label))
                        return true;
        return false;
}

/* False: there is no sense in telling it more. */
static bool tell(const struct follower *follower, const char *label, const char *path)
{
        struct holdfast_console_registration console = {
                .size = sizeof(console),
                .vm = follower->plan->vm_name,
                .device = label,
                .path = path,
                .pid = follower->pid,
                .monitor = follower->monitor,
                .chardev = follower->monitor ? label : NULL,
        };
        struct holdfast_error error = {0};
        int r;

        /* By that name a VMM with a /dev/pts of its own means another one than we. */
        if (!hf_pty_is_here(follower->pid, path)) {
                hf_message("the console of %s (%s, %s) is not kept: here that is another "
                           "terminal, or none",
                           console.vm, label, path);
                return true;
        }
        memcpy(console.uuid, follower->uuid, sizeof(console.uuid));
        r = holdfast_console_register(&console, &error);
        if (r <= 0)
                hf_message("the console of %s (%s, %s) is not kept: %s", console.vm, label, path,
                           error.text);
        return r >= 0 || error.code != HOLDFAST_E_NO_DAEMON;
}

/* ---- finding them ---- */

/*
 * What a guest prints while nobody has its terminal open is thrown away by QEMU. A description in
 * flight is an opener that the kernel knows of, but no process that would stand in the daemon's
 * way.
 */
static void keep_open(const struct follower *follower, const char *path)
{
        hf_cleanup_fd int fd = open(path, O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);

        if (fd >= 0 && hf_pty_is_here(follower->pid, path))
                (void)hf_socket_send_fd(follower->kept[0], "", 1, fd, MSG_NOSIGNAL);
}

static void keep_new_ones(struct follower *follower)
{
        static struct hf_ptys now;

        if (follower->kept[0] < 0 || hf_ptys_of(follower->pid, &now) < 0)
                return;
        for (size_t i = 0; i < now.n; i++)
                if (i >= follower->known.n || strcmp(now.paths[i], follower->known.paths[i]) != 0)
                        keep_open(follower, now.paths[i]);
        follower->known = now;
}

/* True when the VMM has ended meanwhile. */
static bool pause_a_little(struct follower *follower)
{
        struct pollfd end = {.fd = follower->pidfd, .events = POLLIN};

        keep_new_ones(follower);
        return poll(&end, 1, PAUSE_MS) > 0;
}

static int left_ms(const struct follower *follower)
{
        int64_t left = follower->deadline - hf_clock_msec(CLOCK_MONOTONIC);

        return left > 0 ? (int)left : 0;
}

/* Of a QEMU with -daemonize the first process ends, and the one that listens is the VM. */
static void learn_pid(struct follower *follower, int fd)
{
        struct ucred peer;
        socklen_t len = sizeof(peer);

        if (follower->asks_owner && getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 &&
            peer.pid > 0)
                follower->pid = peer.pid;
}

/* Asks the monitor once. False: it does not answer, or not yet. */
static bool ask(struct follower *follower, struct hf_qmp_chardevs *ret)
{
        static struct hf_qmp_link link;
        bool done;

        hf_qmp_connect_chardevs(&link, follower->monitor, ret);
        if (link.fd >= 0)
                learn_pid(follower, link.fd);
        while (link.talk.state == HF_QMP_TALKING && left_ms(follower) > 0) {
                struct pollfd fd = {.fd = link.fd, .events = POLLIN};

                keep_new_ones(follower);
                (void)poll(&fd, 1, PAUSE_MS);
                hf_qmp_serve(&link);
        }
        done = link.talk.state == HF_QMP_DONE;
        hf_qmp_close(&link);
        return done;
}

static void follow_by_monitor(struct follower *follower)
{
        static struct hf_qmp_chardevs chardevs;
        bool ended = false;

        while (!ask(follower, &chardevs)) {
                /* One more time after its end: it may have put itself into the background. */
                if (ended)
                        return;
                if (left_ms(follower) == 0) {
                        hf_message("the consoles of %s are not kept: its monitor does not answer",
                                   follower->plan->vm_name);
                        return;
                }
                ended = pause_a_little(follower);
        }
        for (size_t i = 0; i < chardevs.n; i++) {
                const char *path = hf_qmp_chardev_pty(&chardevs.list[i]);

                if (path && !is_monitor(follower, chardevs.list[i].label) &&
                    !tell(follower, chardevs.list[i].label, path))
                        return;
        }
}

/* Without a monitor to ask, one terminal looks like the other. */
static bool has_monitor_on_terminal(char *const *argv)
{
        static const char *const options[] = {"monitor", "qmp", "qmp-pretty"};

        for (; argv[0]; argv++) {
                const char *option = argv[0] + strspn(argv[0], "-");

                if (argv[0][0] != '-')
                        continue;
                if (!strcmp(option, "mon"))
                        return true;
                for (size_t i = 0; argv[1] && i < HF_ARRAY_LEN(options); i++)
                        if (!strcmp(option, options[i]) && !strncmp(argv[1], "pty", 3))
                                return true;
        }
        return false;
}

/* It makes them one after the other: it has made all when there are no more at the next look. */
static void follow_by_descriptors(struct follower *follower)
{
        static struct hf_ptys ptys, before;

        while (left_ms(follower) > 0) {
                if (hf_ptys_of(follower->pid, &ptys) < 0)
                        return;
                if (ptys.n > 0 && ptys.n == before.n)
                        break;
                before = ptys;
                if (pause_a_little(follower))
                        return;
        }
        for (size_t i = 0; i < ptys.n; i++) {
                char label[32];

                (void)snprintf(label, sizeof(label), "serial%zu", i);
                if (!tell(follower, label, ptys.paths[i]))
                        return;
        }
}

/* ---- the process ---- */

/* It may stand in line for its locks before. False: it has ended instead. */
static bool await_exec(const struct follower *follower)
{
        struct pollfd fd = {.fd = follower->exec_fd, .events = POLLIN};

        while (poll(&fd, 1, -1) < 0 && errno == EINTR)
                ;
        return hf_process_pidfd_is_dead(follower->pidfd) == 0;
}

/* Nothing that was open for the VMM stays open here, but for stderr. */
static int leave_descriptors(struct follower *follower)
{
        int null;

        if (dup2(follower->exec_fd, 3) < 0 || close_range(4, ~0U, 0) < 0)
                return -errno;
        follower->exec_fd = 3;
        null = open("/dev/null", O_RDWR | O_CLOEXEC);
        if (null < 0 || dup2(null, 0) < 0 || dup2(null, 1) < 0)
                return -errno;
        (void)close(null);
        return hf_process_open(follower->pid, &follower->pidfd, NULL, NULL);
}

static void follow(struct follower *follower)
{
        sigset_t none;

        (void)sigemptyset(&none);
        (void)sigprocmask(SIG_SETMASK, &none, NULL);
        if (leave_descriptors(follower) < 0 || !await_exec(follower))
                return;
        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, follower->kept) <
            0)
                follower->kept[0] = -1;
        follower->deadline = hf_clock_msec(CLOCK_MONOTONIC) + PATIENCE_MS;
        if (follower->monitor)
                follow_by_monitor(follower);
        else if (!has_monitor_on_terminal(follower->plan->vmm))
                follow_by_descriptors(follower);
        else
                hf_message("the consoles of %s are not kept: they cannot be told from QEMU's "
                           "monitor without a monitor socket of our own",
                           follower->plan->vm_name);
}

/* A session of its own: no ^C for the VMM ends it, nor is it a job of somebody's shell. */
static _Noreturn void leave_parent(struct follower *follower)
{
        if (setsid() < 0 || fork() != 0)
                _exit(0);
        follow(follower);
        _exit(0);
}

void hf_console_follow(const struct hf_plan *plan, const struct holdfast_vm *vm,
                       const struct hf_monitor *monitor)
{
        struct follower follower = {
                .plan = plan,
                .monitor = monitor->socket,
                .pid = getpid(),
                .asks_owner = !monitor->has_fd,
        };
        int ends[2];
        pid_t child;

        if (!hf_console_is_wanted(plan) || pipe2(ends, O_CLOEXEC) < 0)
                return;
        holdfast_vm_uuid(vm, follower.uuid);
        follower.exec_fd = ends[0];
        child = fork();
        if (child == 0) {
                (void)close(ends[1]);
                leave_parent(&follower);
        }
        (void)close(ends[0]);
        if (child > 0)
                (void)waitpid(child, NULL, 0);
        /* The other end stays until this process becomes the VMM, or ends. */
}
