/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/guard-run.h"

#include "base/cleanup.h"
#include "base/process.h"
#include "keeper/keeper.h"
#include "storage/nfs-lease.h"
#include "storage/resource.h"
#include "storage/users.h"
#include "vm/qmp.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/pidfd.h>

/* ---- asking a server ---- */

/*
 * Of a file that was removed on its server the kernel says nothing any more. Should that be another
 * one by now, the server sees that the lock has another number.
 */
static bool is_file(int fd, const struct hf_thing *file)
{
        struct hf_thing now;
        int r = hf_resource_of_fd(fd, &now);

        return r == -ESTALE || (r == 0 && hf_thing_same(&now, file));
}

void hf_guard_run_renew(struct hf_worker *worker, struct hf_keeper *keeper)
{
        const struct hf_order *order = &worker->order;

        hf_work_end_with_supervisor(keeper);
        if (!is_file(order->fd, &order->thing))
                worker->outcome.status = -EBADF;
        else
                worker->outcome.status = order->by_lock ? hf_nfs_prove(order->fd)
                                                        : hf_nfs_renew(order->fd);
}

void hf_guard_run_prove(struct hf_worker *worker, struct hf_keeper *keeper)
{
        const struct hf_order *order = &worker->order;

        hf_work_end_with_supervisor(keeper);
        for (uint32_t i = 0; i < order->n_items; i++) {
                const struct hf_work_item *item = &order->items[i];
                int r;

                if (!is_file(item->fd, &item->file))
                        continue;
                r = hf_nfs_prove(item->fd);
                /* Who looks for the lock by its name would make another file. */
                if (r == 0 && item->stands_in && hf_nfs_is_removed(item->fd))
                        r = -ESTALE;
                if (is_file(item->fd, &item->file))
                        worker->outcome.items[i] = r < 0 ? r : HF_PROVED_SOUND;
        }
}

/* ---- talking to VMs ---- */

struct talks {
        struct hf_qmp_link links[HF_WORK_ITEMS_MAX];
        struct pollfd polls[HF_WORK_ITEMS_MAX];
};

static void note(struct hf_worker *worker, uint32_t i, const struct hf_qmp *talk)
{
        worker->outcome.commanded[i] = talk->commanded;
        worker->outcome.items[i] = HF_TOLD_BASE + (int32_t)talk->state;
}

static void connect_all(struct hf_worker *worker, struct talks *talks)
{
        const struct hf_order *order = &worker->order;
        const char *path = order->path;

        for (uint32_t i = 0; i < order->n_items; i++) {
                hf_qmp_connect(&talks->links[i], path, (enum hf_qmp_goal)order->action);
                note(worker, i, &talks->links[i].talk);
                path += strlen(path) + 1;
        }
}

/* Returns how many still talk. */
static uint32_t collect(const struct hf_order *order, struct talks *talks)
{
        uint32_t n = 0;

        for (uint32_t i = 0; i < order->n_items; i++) {
                bool talking = talks->links[i].talk.state == HF_QMP_TALKING;

                talks->polls[i] = (struct pollfd){.fd = talking ? talks->links[i].fd : -1,
                                                  .events = POLLIN};
                n += talking;
        }
        return n;
}

/* All at a time: one that does not answer takes none of the others' time. */
void hf_guard_run_monitor(struct hf_worker *worker, struct hf_keeper *keeper)
{
        const struct hf_order *order = &worker->order;
        struct talks *talks = calloc(1, sizeof(*talks));
        uint64_t now;

        (void)keeper;
        if (!talks)
                return;
        connect_all(worker, talks);
        while (collect(order, talks) > 0 && (now = hf_work_boottime()) < order->until) {
                if (poll(talks->polls, order->n_items, (int)((order->until - now) / 1000) + 1) <
                            0 &&
                    errno != EINTR)
                        break;
                for (uint32_t i = 0; i < order->n_items; i++) {
                        if (!talks->polls[i].revents)
                                continue;
                        hf_qmp_serve(&talks->links[i]);
                        note(worker, i, &talks->links[i].talk);
                }
        }
        /* The end of the worker closes the connections. */
        free(talks);
}

/* ---- signals ---- */

/* More processes than a VM and its helpers have. */
#define CARRIERS_MAX 256

/* Neither init nor this daemon, whose ends of the connections are the others. */
static bool is_spared(pid_t pid, struct hf_keeper *keeper)
{
        return pid <= 1 || pid == getpid() || pid == hf_keeper_pid(keeper);
}

/*
 * To those that have a connection open before and after their pidfd was opened: the number was
 * not given to another process meanwhile.
 */
void hf_guard_run_signal(struct hf_worker *worker, struct hf_keeper *keeper)
{
        const struct hf_order *order = &worker->order;
        pid_t before[CARRIERS_MAX], after[CARRIERS_MAX];
        int pidfds[CARRIERS_MAX];
        int n = hf_socket_carriers(order->inodes, order->n_inodes, before, CARRIERS_MAX), m;

        for (int i = 0; i < n; i++)
                pidfds[i] = is_spared(before[i], keeper) ? -1 : pidfd_open(before[i], 0);
        m = n > 0 ? hf_socket_carriers(order->inodes, order->n_inodes, after, CARRIERS_MAX) : n;
        for (int i = 0; i < n; i++)
                for (int j = 0; j < m; j++)
                        if (pidfds[i] >= 0 && before[i] == after[j] &&
                            pidfd_send_signal(pidfds[i], (int)order->action, NULL, 0) == 0)
                                worker->outcome.items[0]++;
        worker->outcome.status = n < 0 ? n : 0;
}
