/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "toy.h"

#include "base/cleanup.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>

/* How long a probe may take. */
#define PROBE_MS 300

struct word {
        const char *name;
        void (*answer)(struct toy *toy, const char *argument, char *ret, size_t size);
};

static void answer_ping(struct toy *toy, const char *argument, char *ret, size_t size)
{
        (void)argument;
        (void)snprintf(ret, size, "%" PRIu64, ++toy->area->counter);
}

static unsigned int count_open(void)
{
        hf_cleanup_dir DIR *dir = opendir("/proc/self/fd");
        unsigned int n = 0;

        while (dir && readdir(dir))
                n++;
        return n;
}

static void answer_info(struct toy *toy, const char *argument, char *ret, size_t size)
{
        const struct hf_keeper *keeper = toy->keeper;

        (void)argument;
        (void)snprintf(
                ret, size,
                "server=%d supervisor=%d parent=%d start=%d last_status=%d "
                "upgrade_error=%d listen_fds=%d generations=%u hups=%u open=%u counter=%" PRIu64
                " watches=%d "
                "room=%d env=%s",
                getpid(), hf_keeper_pid(keeper), getppid(), hf_keeper_start(keeper),
                hf_keeper_last_status(keeper), hf_keeper_upgrade_error(keeper),
                hf_keeper_listen_fds(keeper), toy->area->generations, toy->area->hups, count_open(),
                toy->area->counter, hf_keeper_supervisor_fd(keeper),
                ++toy->area->room[TOY_ROOM - 1], getenv("HOLDFAST_KEEPER") ? "there" : "clean");
}

static void answer_exit(struct toy *toy, const char *argument, char *ret, size_t size)
{
        (void)snprintf(ret, size, "exits");
        toy->exit_status = atoi(argument);
}

/* Opens what nobody knows of. */
static void answer_leak(struct toy *toy, const char *argument, char *ret, size_t size)
{
        (void)toy;
        for (int n = atoi(argument); n > 0; n--)
                (void)open("/dev/null", O_RDONLY | O_CLOEXEC);
        (void)snprintf(ret, size, "leaked");
}

static void answer_die(struct toy *toy, const char *argument, char *ret, size_t size)
{
        (void)toy;
        (void)ret;
        (void)size;
        (void)raise(atoi(argument));
}

static void answer_upgrade(struct toy *toy, const char *argument, char *ret, size_t size)
{
        struct hf_error err = {0};
        struct pollfd probe = {.events = POLLIN};

        (void)argument;
        if (hf_keeper_probe_begin(toy->keeper, &probe.fd, &err) >= 0) {
                (void)poll(&probe, 1, PROBE_MS);
                (void)close(probe.fd);
                (void)hf_keeper_probe_end(toy->keeper, &err);
        }
        (void)snprintf(ret, size, "%s", *err.text ? err.text : "upgrades");
}

/* An upgrade that nobody prepared: there is nothing to execute. */
static void answer_rush(struct toy *toy, const char *argument, char *ret, size_t size)
{
        (void)toy;
        (void)argument;
        (void)snprintf(ret, size, "upgrades");
}

static const struct word words[] = {
        {"ping", answer_ping}, {"info", answer_info}, {"exit", answer_exit},
        {"leak", answer_leak}, {"die", answer_die},   {"upgrade", answer_upgrade},
        {"rush", answer_rush},
};

/* Writes "NUMBER TEXT"; true if the answer is followed by an upgrade. */
static bool answer(struct toy *toy, char *line, char *ret, size_t size)
{
        char *rest = NULL, *number = strtok_r(line, " ", &rest);
        char *name = strtok_r(NULL, " ", &rest);
        char text[TOY_LINE / 2] = "no such word";

        for (size_t i = 0; name && i < HF_ARRAY_LEN(words); i++)
                if (!strcmp(words[i].name, name))
                        words[i].answer(toy, rest ? rest : "", text, sizeof(text));
        (void)snprintf(ret, size, "%s %s", number ? number : "", text);
        return !strcmp(text, "upgrades");
}

void toy_request(struct toy *toy, size_t i)
{
        char line[TOY_LINE], reply[TOY_LINE];
        int fd = toy->area->connections[i];
        bool upgrades;
        ssize_t got;

        got = recv(fd, line, sizeof(line) - 1, MSG_PEEK | MSG_DONTWAIT);
        if (got < 0)
                return;
        if (got == 0) {
                toy->area->connections[i] = 0;
                (void)close(fd);
                return;
        }
        line[got] = '\0';
        upgrades = answer(toy, line, reply, sizeof(reply));
        (void)send(fd, reply, strlen(reply), MSG_NOSIGNAL | MSG_DONTWAIT);
        (void)recv(fd, line, sizeof(line), MSG_DONTWAIT);
        if (upgrades) {
                toy_close_on_exec(toy->area, false);
                hf_keeper_upgrade(toy->keeper);
        }
}
