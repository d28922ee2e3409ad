/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/await.h"
#include "daemon/posix.h"

#include "base/log.h"
#include "daemon/work-private.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/pidfd.h>

#define MODULE "daemon.await"

/* How long a helper of an earlier server waits for somebody who wants it. */
#define UNWANTED_AFTER_USEC (2 * UINT64_C(1000000))

struct hf_await {
        struct hf_await *next, **prev; /* the server's list */
        struct hf_server *server;
        struct hf_order order;
        void (*done)(void *data, struct hf_resource_result *got);
        void *data;
        uint64_t number;        /* of its helper; 0: it has none */
        sd_event_source *timer; /* without one: the next look */
        uint64_t pause;         /* before that, in microseconds */
        struct hf_job *look;    /* the look, where a worker does it */
};

static void on_looked(void *data, const struct hf_result *result);

/* ---- helpers ---- */

static bool is_helper(const struct hf_worker *worker)
{
        return hf_worker_state(worker) != HF_WORKER_NONE && worker->order.kind == HF_WORK_AWAIT;
}

static struct hf_worker *find_helper(struct hf_server *server, uint64_t number)
{
        for (int i = 0; i < HF_WORKERS_MAX; i++) {
                struct hf_worker *worker = hf_worker_at(server->works, i);

                if (is_helper(worker) && worker->where.number == number)
                        return worker;
        }
        return NULL;
}

static struct hf_await *find_await(struct hf_server *server, uint64_t number)
{
        struct hf_await *await = server->awaits;

        while (await && await->number != number)
                await = await->next;
        return await;
}

/* Whatever it is about to lock goes with it, or comes to hf_await_ended. */
static void end_helper(struct hf_worker *worker)
{
        worker->given_up = 1;
        if (worker->pidfd >= 0)
                (void)pidfd_send_signal(worker->pidfd, SIGKILL, NULL, 0);
}

/* One of an earlier server that waits for the same; or 0. */
static uint64_t find_adopted(const struct hf_await *await)
{
        struct hf_works *works = await->server->works;

        for (int i = 0; works->adopted && i < HF_WORKERS_MAX; i++) {
                const struct hf_worker *worker = hf_worker_at(works, i);

                if (is_helper(worker) && works->slots[i].adopted && !worker->given_up &&
                    worker->order.shared == await->order.shared &&
                    worker->order.autocreate == await->order.autocreate &&
                    !strcmp(worker->order.path, await->order.path) &&
                    !find_await(await->server, worker->where.number))
                        return worker->where.number;
        }
        return 0;
}

static int make_helper(struct hf_await *await)
{
        struct hf_server *server = await->server;
        struct hf_place_key where = {HF_PLACE_AWAIT, server->last_await + 1};
        int r = hf_work_launch(server, where, &await->order);

        if (r >= 0)
                await->number = ++server->last_await;
        return r;
}

static int on_unwanted(sd_event_source *source, uint64_t usec, void *data)
{
        struct hf_server *server = data;

        (void)source;
        (void)usec;
        for (int i = 0; i < HF_WORKERS_MAX; i++) {
                struct hf_worker *worker = hf_worker_at(server->works, i);

                if (is_helper(worker) && !find_await(server, worker->where.number))
                        end_helper(worker);
        }
        return 0;
}

void hf_await_adopt(struct hf_server *server)
{
        bool wanted = false;

        for (int i = 0; i < HF_WORKERS_MAX; i++) {
                struct hf_worker *worker = hf_worker_at(server->works, i);

                if (!is_helper(worker))
                        continue;
                if (server->last_await < worker->where.number)
                        server->last_await = worker->where.number;
                /* Who gave it up may not have come to kill it. */
                if (worker->given_up)
                        end_helper(worker);
                else
                        wanted = true;
        }
        if (wanted &&
            sd_event_add_time_relative(server->event, &server->await_timer, CLOCK_MONOTONIC,
                                       UNWANTED_AFTER_USEC, 0, on_unwanted, server) < 0)
                (void)on_unwanted(NULL, 0, server);
}

/* ---- without one ---- */

static void tell(struct hf_await *await, const struct hf_result *outcome)
{
        struct hf_resource_result got = {
                .status = outcome->status,
                .fd = outcome->fd,
                .file = outcome->thing,
                .proved = outcome->proved,
        };

        await->number = 0;
        await->done(await->data, &got);
}

static int on_pause(sd_event_source *source, uint64_t usec, void *data);

static int set_pause(struct hf_await *await)
{
        int r;

        await->pause = await->pause ? hf_resource_next_pause(await->pause)
                                    : HF_RESOURCE_POLL_FIRST_USEC;
        if (!await->timer) {
                r = sd_event_add_time_relative(await->server->event, &await->timer, CLOCK_MONOTONIC,
                                               await->pause, 0, on_pause, await);
        } else {
                r = sd_event_source_set_time_relative(await->timer, await->pause);
                if (r >= 0)
                        r = sd_event_source_set_enabled(await->timer, SD_EVENT_ONESHOT);
        }
        return r;
}

static void look_later(struct hf_await *await)
{
        struct hf_result outcome = {.fd = -1};

        outcome.status = set_pause(await);
        if (outcome.status < 0)
                tell(await, &outcome);
}

/* Where it is in memory, here and at once. */
static bool look_here(const struct hf_await *await, struct hf_result *ret)
{
        const struct hf_resource_request request = {.path = await->order.path,
                                                    .shared = await->order.shared,
                                                    .autocreate = await->order.autocreate};
        struct hf_resource_result result;

        if (!hf_work_is_local(await->server, await->order.path, await->order.autocreate) ||
            !hf_take_cached(await->server, &request, &result))
                return false;
        *ret = (struct hf_result){.status = result.status, .fd = result.fd, .thing = result.file};
        /* With a negative status it has no lock, and its closing may have to wait. */
        if (result.status < 0 && result.fd >= 0) {
                hf_work_dispose(await->server, result.fd, &result.file, NULL);
                ret->fd = -1;
        }
        return true;
}

static void look(struct hf_await *await)
{
        struct hf_order order = await->order;
        struct hf_result outcome = {.fd = -1};

        if (look_here(await, &outcome)) {
                if (outcome.status == -EAGAIN)
                        look_later(await);
                else
                        tell(await, &outcome);
                return;
        }
        order.kind = HF_WORK_TAKE;
        if (hf_work_start(await->server, NULL, &order, on_looked, await, &await->look, NULL) < 0)
                look_later(await);
}

static void on_looked(void *data, const struct hf_result *result)
{
        struct hf_await *await = data;

        await->look = NULL;
        /* What is not the filesystem's own answer says nothing of the lock. */
        if (result->status == -EAGAIN || *result->error.text)
                look_later(await);
        else
                tell(await, result);
}

static int on_pause(sd_event_source *source, uint64_t usec, void *data)
{
        struct hf_await *await = data;

        (void)source;
        (void)usec;
        if (make_helper(await) < 0)
                look(await);
        return 0;
}

static void say_without(struct hf_await *await, int number)
{
        if (await->server->await_said)
                return;
        await->server->await_said = true;
        hf_log(HF_LOG_WARNING, MODULE,
               "no helper can wait for the lock of %s, which another program or host has: %s; it "
               "is looked at again and again",
               await->order.path,
               number == EAGAIN ? "as many of them wait already as there may be"
                                : strerrordesc_np(number));
}

/* ---- begin and end ---- */

void hf_await_ended(struct hf_server *server, uint64_t number, const struct hf_order *order,
                    const struct hf_result *outcome)
{
        struct hf_await *await = find_await(server, number);

        if (!await) {
                if (outcome->fd >= 0)
                        hf_work_dispose(server, outcome->fd, &outcome->thing,
                                        order->autocreate ? order->path : NULL);
                return;
        }
        await->number = 0;
        /* It was killed, by somebody else, or was never done with files that replace each other. */
        if (*outcome->error.text || outcome->status == -EAGAIN)
                look_later(await);
        else
                tell(await, outcome);
}

int hf_await_start(struct hf_server *server, const struct hf_order *order,
                   void (*done)(void *data, struct hf_resource_result *got), void *data,
                   struct hf_await **ret)
{
        struct hf_await *await = calloc(1, sizeof(*await));
        int r;

        if (!await)
                return -ENOMEM;
        await->server = server;
        await->order = *order;
        await->done = done;
        await->data = data;
        await->next = server->awaits;
        await->prev = &server->awaits;
        if (await->next)
                await->next->prev = &await->next;
        server->awaits = await;
        await->number = find_adopted(await);
        r = await->number ? 0 : make_helper(await);
        if (r < 0) {
                say_without(await, -r);
                r = set_pause(await);
        }
        if (r < 0) {
                (void)hf_await_free(await);
                return r;
        }
        *ret = await;
        return 0;
}

struct hf_await *hf_await_free(struct hf_await *await)
{
        struct hf_worker *helper;

        if (!await)
                return NULL;
        *await->prev = await->next;
        if (await->next)
                await->next->prev = await->prev;
        helper = await->number ? find_helper(await->server, await->number) : NULL;
        if (helper)
                end_helper(helper);
        (void)sd_event_source_disable_unref(await->timer);
        (void)hf_job_free(await->look);
        free(await);
        return NULL;
}
