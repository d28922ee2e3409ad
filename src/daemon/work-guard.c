/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Work for the guard of leases: it waits for nothing. What cannot be begun at once the guard
 * orders again, if it still wants it then.
 */
#include "daemon/work-private.h"

#include "base/clock.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/pidfd.h>

/* A worker that only gives a lock back, or has not begun yet, is gone by then. */
#define ALONE_MS 500

uint64_t hf_work_boottime(void)
{
        return hf_clock_usec(CLOCK_BOOTTIME);
}

static struct hf_place *find_place(struct hf_works *works, struct hf_place_key where)
{
        struct hf_place *place = works->places;

        while (place && (place->key.kind != where.kind || place->key.number != where.number))
                place = place->next;
        return place;
}

bool hf_work_is_busy(struct hf_server *server, struct hf_place_key where)
{
        return find_place(server->works, where);
}

int hf_work_launch(struct hf_server *server, struct hf_place_key where,
                   const struct hf_order *order)
{
        struct hf_works *works = server->works;
        struct hf_job job = {.works = works, .worker = -1, .order = *order};
        int index, r;

        if (!works->keeper)
                return -EOPNOTSUPP;
        if (find_place(works, where))
                return -EBUSY;
        job.place = hf_place_get(works, where, "");
        if (!job.place)
                return -ENOMEM;
        index = hf_worker_find_free(works, job.place);
        r = index < 0 ? -EAGAIN : hf_worker_launch(works, index, &job);
        if (r < 0)
                hf_place_drop_unused(works, job.place);
        return r;
}

bool hf_work_sends_another(struct hf_server *server, uint32_t number)
{
        for (int i = 0; i < HF_WORKERS_MAX; i++) {
                const struct hf_worker *worker = hf_worker_at(server->works, i);

                if (hf_worker_state(worker) != HF_WORKER_NONE &&
                    worker->order.kind == HF_WORK_SIGNAL && worker->order.action != number)
                        return true;
        }
        return false;
}

int hf_work_get_alone(struct hf_server *server)
{
        uint64_t end = hf_work_now_usec() + ALONE_MS * 1000;

        for (int i = 0; server->works->keeper && i < HF_WORKERS_MAX; i++) {
                const struct hf_worker *worker = hf_worker_at(server->works, i);
                struct pollfd poller = {.fd = worker->pidfd, .events = POLLIN};

                if (hf_worker_state(worker) == HF_WORKER_NONE || worker->pidfd < 0 ||
                    worker->table != hf_keeper_table(server->works->keeper))
                        continue;
                /* It says so without waking anybody. */
                while (!worker->apart && poll(&poller, 1, 1) == 0)
                        if (hf_work_now_usec() >= end)
                                return -EBUSY;
        }
        return 0;
}

void hf_work_end_askers(struct hf_server *server)
{
        for (int i = 0; i < HF_WORKERS_MAX; i++) {
                const struct hf_worker *worker = hf_worker_at(server->works, i);

                if (hf_worker_state(worker) == HF_WORKER_RUNS && worker->pidfd >= 0 &&
                    (worker->order.kind == HF_WORK_RENEW || worker->order.kind == HF_WORK_PROVE))
                        (void)pidfd_send_signal(worker->pidfd, SIGKILL, NULL, 0);
        }
}
