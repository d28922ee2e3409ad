/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What a daemon is to its guard, and no more: starts one, asks it what is said on standard input,
 * and prints the answers, a line each, fields by tabs:
 *
 *     take ID FLAGS PATH   release ID   look ID   list   pid   close
 *     again                the guard is dead: another one, which is told of all, as a server does
 *
 *     OP ID RESULT NAMES TEXT [PID UID PROGRAM HOW]...
 */

#include "console/guard.h"

#include "base/cleanup.h"

#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#define HOLDS_MAX 64

static struct {
        struct hf_hold hold;
        int fd;
} holds[HOLDS_MAX];

static struct hf_guard_settings settings;
static struct hf_guard_request request;
static struct hf_guard_reply reply;
static int server = -1;
static pid_t guard;

static void start_guard(void)
{
        int pair[2];

        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
                exit(1);
        guard = fork();
        if (guard == 0)
                hf_guard_serve(pair[1], &settings);
        (void)close(pair[1]);
        server = pair[0];
}

static void note(void)
{
        for (int i = 0; i < HOLDS_MAX; i++)
                if (holds[i].hold.id == reply.id)
                        holds[i].hold = reply.hold;
}

static void add(int fd)
{
        for (int i = 0; i < HOLDS_MAX; i++)
                if (!holds[i].hold.id) {
                        holds[i].hold = reply.hold;
                        holds[i].fd = fd;
                        return;
                }
        exit(2);
}

static void forget(uint64_t id)
{
        for (int i = 0; i < HOLDS_MAX; i++)
                if (holds[i].hold.id == id) {
                        (void)close(holds[i].fd);
                        holds[i].hold.id = 0;
                }
}

static void print_reply(void)
{
        printf("%u\t%" PRIu64 "\t%d\t", reply.op, reply.id, reply.result);
        for (int i = 0; i < HF_UUCP_NAMES; i++)
                printf("%s ", reply.hold.uucp.names[i]);
        printf("\t%s", reply.text);
        for (uint32_t i = 0; i < reply.n_intruders; i++)
                printf("\t%d\t%u\t%s\t%s", (int)reply.intruders[i].pid, reply.intruders[i].uid,
                       reply.intruders[i].program, reply.intruders[i].how);
        printf("\n");
        fflush(stdout);
}

/* The next answer; false: the guard is gone. */
static bool on_reply(bool print)
{
        int fd = -1, r = hf_guard_receive(server, &reply, &fd);

        if (r == 0)
                return true;
        if (r < 0) {
                printf("gone\n");
                fflush(stdout);
                return false;
        }
        if (reply.op == HF_GUARD_TAKE && reply.result == 0)
                add(hf_steal_fd(&fd));
        else if (reply.op == HF_GUARD_ADOPT && reply.result == 0)
                note();
        hf_close_fd(&fd);
        if (print)
                print_reply();
        return true;
}

static void ask(uint32_t op, uint64_t id, int fd)
{
        request.version = HF_GUARD_VERSION;
        request.op = op;
        request.id = id;
        while (hf_guard_send(server, &request, fd) == -EAGAIN)
                (void)poll(&(struct pollfd){.fd = server, .events = POLLOUT}, 1, -1);
}

static void again(void)
{
        int old = server, n = 0;

        start_guard();
        for (int i = 0; i < HOLDS_MAX; i++)
                if (holds[i].hold.id) {
                        request.hold = holds[i].hold;
                        ask(HF_GUARD_ADOPT, holds[i].hold.id, holds[i].fd);
                        n++;
                }
        while (n--) {
                (void)poll(&(struct pollfd){.fd = server, .events = POLLIN}, 1, -1);
                if (!on_reply(true))
                        exit(3);
        }
        request.version = HF_GUARD_VERSION;
        request.op = HF_GUARD_QUIT;
        (void)hf_guard_send(old, &request, -1);
        (void)close(old);
        printf("again\n");
        fflush(stdout);
}

static void on_line(char *line)
{
        char path[PATH_MAX];
        uint64_t id = 0;

        memset(&request, 0, sizeof(request));
        line[strcspn(line, "\n")] = '\0';
        if (sscanf(line, "take %" SCNu64 " %u %4095[^\n]", &id, &request.flags, path) == 3) {
                (void)snprintf(request.hold.path, sizeof(request.hold.path), "%s", path);
                ask(HF_GUARD_TAKE, id, -1);
        } else if (sscanf(line, "release %" SCNu64, &id) == 1) {
                forget(id);
                ask(HF_GUARD_RELEASE, id, -1);
        } else if (sscanf(line, "look %" SCNu64, &id) == 1) {
                ask(HF_GUARD_LOOK, id, -1);
        } else if (!strcmp(line, "list")) {
                ask(HF_GUARD_LIST, 1, -1);
        } else if (!strcmp(line, "pid")) {
                printf("pid\t%d\n", (int)guard);
                fflush(stdout);
        } else if (!strcmp(line, "again")) {
                again();
        } else {
                exit(64);
        }
}

int main(int argc, char **argv)
{
        char line[2 * PATH_MAX];

        if (argc != 3)
                return 64;
        (void)snprintf(settings.lock_dir, sizeof(settings.lock_dir), "%s", argv[1]);
        settings.open_timeout_ms = (uint32_t)strtoul(argv[2], NULL, 10);
        settings.privileged = geteuid() == 0;
        (void)signal(SIGCHLD, SIG_IGN);
        start_guard();
        setvbuf(stdin, NULL, _IONBF, 0);
        for (bool alive = true;;) {
                struct pollfd fds[] = {{.fd = 0, .events = POLLIN},
                                       {.fd = alive ? server : -1, .events = POLLIN}};

                if (poll(fds, 2, -1) < 0)
                        continue;
                if (fds[1].revents)
                        alive = on_reply(true);
                if (!fds[0].revents)
                        continue;
                if (!fgets(line, sizeof(line), stdin))
                        return 0;
                on_line(line);
                alive = alive || !strcmp(line, "again");
        }
}
