/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "console/guard-private.h"

#include "base/cleanup.h"

#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>

/*
 * The second: a copy of what the guard holds, for the case that the guard is killed.
 *
 * It hears of each hold, with a descriptor of its own. When the guard is dead it says so to the
 * server (by shutting down one direction of the socket that it has from the guard) and waits:
 * for QUIT, which says that another guard has it all, or for the daemon's end.
 */

struct second_record {
        uint32_t op;
        struct hf_hold hold;
};

struct second {
        int guard, server;
        const struct hf_guard_settings *settings;
        struct hf_held_table table;
        struct hf_guard_request request;
};

bool hf_second_tell(int fd, uint32_t op, const struct hf_hold *hold, int device_fd)
{
        struct second_record record = {.op = op};

        if (hold)
                record.hold = *hold;
        return fd >= 0 && hf_guard_send_record(fd, &record, sizeof(record), device_fd, 0) == 0;
}

/* The guard alive: follows it. Returns at its end; false: there is nothing left to do. */
static bool follow(struct second *second)
{
        struct second_record record;

        for (;;) {
                int fd = -1;
                ssize_t n = hf_guard_receive_record(second->guard, &record, sizeof(record), &fd, 0);
                struct hf_held *held;

                if (n != sizeof(record))
                        return true;
                held = hf_held_find(&second->table, record.hold.id);
                if (record.op == HF_GUARD_QUIT)
                        return false;
                if (record.op == HF_GUARD_ADOPT && (held || fd >= 0)) {
                        if (hf_held_put(&second->table, &record.hold, fd) < 0)
                                hf_close_fd(&fd);
                } else {
                        hf_close_fd(&fd);
                        if (held)
                                hf_held_drop(&second->table, held);
                }
        }
}

/* The guard dead: until the daemon is dead, too, or has another guard. True: give back. */
static bool outlast(struct second *second)
{
        (void)shutdown(second->server, SHUT_WR);
        for (;;) {
                hf_cleanup_fd int fd = -1;
                ssize_t n = hf_guard_receive_record(second->server, &second->request,
                                                    sizeof(second->request), &fd, 0);

                if (n <= 0)
                        return true;
                if (n == sizeof(second->request) && second->request.op == HF_GUARD_QUIT)
                        return false;
        }
}

static _Noreturn void run(struct second *second)
{
        (void)prctl(PR_SET_NAME, "console-second");
        if (follow(second) && outlast(second))
                hf_held_give_all_back(&second->table, second->settings->lock_dir,
                                      second->settings->open_timeout_ms);
        _exit(0);
}

/* Keeps what it needs: the descriptors of devices stay where they are. */
static void close_others(const struct second *second)
{
        int last = second->guard > second->server ? second->guard : second->server;

        for (size_t i = 0; i < second->table.n; i++)
                if (second->table.list[i].fd > last)
                        last = second->table.list[i].fd;
        for (int fd = 3; fd <= last; fd++) {
                bool keep = fd == second->server || fd == second->guard;

                for (size_t i = 0; i < second->table.n; i++)
                        keep = keep || second->table.list[i].fd == fd;
                if (!keep)
                        (void)close(fd);
        }
        (void)close_range((unsigned int)last + 1, ~0U, 0);
}

int hf_second_start(int server_fd, const struct hf_guard_settings *settings,
                    const struct hf_held_table *table)
{
        struct second second = {.server = server_fd, .settings = settings, .table = *table};
        int pair[2];
        pid_t pid;

        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
                return -errno;
        pid = fork();
        if (pid == 0) {
                (void)close(pair[0]);
                second.guard = pair[1];
                close_others(&second);
                run(&second);
        }
        (void)close(pair[1]);
        if (pid > 0)
                return pair[0];
        (void)close(pair[0]);
        return -EAGAIN;
}
