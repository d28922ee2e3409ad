/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/await.h"

#include "daemon/work.h"

#include "daemon/server.h"

#include <errno.h>
#include <string.h>

/* Between two tries. */
#define TRY_USEC 20000

struct hf_await {
        struct hf_server *server;
        sd_event_source *timer;
        char *path;
        bool shared, autocreate;
        void (*done)(void *data, struct hf_resource_result *got);
        void *data;
};

static int on_timer(sd_event_source *source, uint64_t usec, void *data)
{
        struct hf_await *await = data;
        struct hf_resource_request request = {
                .path = await->path, .shared = await->shared, .autocreate = await->autocreate};
        struct hf_resource_result result;
        void (*done)(void *, struct hf_resource_result *) = await->done;
        void *its_data = await->data;

        (void)usec;
        hf_resource_take(&request, &result);
        if (result.status == -EAGAIN) {
                (void)sd_event_source_set_time_relative(source, TRY_USEC);
                return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
        }
        (void)hf_await_free(await);
        done(its_data, &result);
        return 0;
}

int hf_await_start(struct hf_server *server, const char *path, bool shared, bool autocreate,
                   void (*done)(void *data, struct hf_resource_result *got), void *data,
                   struct hf_await **ret)
{
        struct hf_await *await = calloc(1, sizeof(*await));
        int r = -ENOMEM;

        if (await)
                await->path = strdup(path);
        if (await && await->path)
                r = sd_event_add_time_relative(server->event, &await->timer, CLOCK_MONOTONIC,
                                               TRY_USEC, 1000, on_timer, await);
        if (r < 0) {
                (void)hf_await_free(await);
                return r;
        }
        await->server = server;
        await->shared = shared;
        await->autocreate = autocreate;
        await->done = done;
        await->data = data;
        *ret = await;
        return 0;
}

struct hf_await *hf_await_free(struct hf_await *await)
{
        if (!await)
                return NULL;
        (void)sd_event_source_disable_unref(await->timer);
        free(await->path);
        free(await);
        return NULL;
}
