/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "console/server.h"

#include "base/cleanup.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define MODULE "console.server"

static int on_retry(sd_event_source *source, void *data)
{
        struct hf_con_server *server = data;
        struct hf_console *console;
        uint32_t i = 0;

        (void)sd_event_source_set_enabled(source, SD_EVENT_OFF);
        hf_con_sessions_retry(server);
        while ((console = hf_con_server_next(server, &i)))
                hf_console_settle(console);
        return 0;
}

/* Limits of time: of what has to be looked at nothing is remembered but when. */
static int on_tick(sd_event_source *source, uint64_t usec, void *data)
{
        struct hf_con_server *server = data;
        struct hf_console *console;
        uint32_t i = 0;

        (void)source;
        (void)usec;
        while ((console = hf_con_server_next(server, &i)))
                hf_console_pump(console);
        /* The timer stood at the earliest limit; the others are still to come. */
        for (const struct hf_con_session *s = server->sessions; s; s = s->next)
                if (s->client.token && hf_con_client_leaving(&s->client))
                        hf_con_server_wake_at(server, s->client.deadline);
        hf_con_server_retry(server);
        return 0;
}

static int on_idle(sd_event_source *source, uint64_t usec, void *data)
{
        struct hf_con_server *server = data;

        (void)source;
        (void)usec;
        hf_log(HF_LOG_INFO, MODULE, "no client and no console for %llu s: ending",
               (unsigned long long)(server->idle_timeout / 1000000));
        return sd_event_exit(server->event, 0);
}

static int make_sources(struct hf_con_server *server)
{
        int r = sd_event_add_defer(server->event, &server->retry, on_retry, server);

        if (r >= 0)
                r = sd_event_source_set_enabled(server->retry, SD_EVENT_OFF);
        /* Before others: what it ends must not be found in an event of the same turn. */
        if (r >= 0)
                r = sd_event_add_time(server->event, &server->tick, CLOCK_MONOTONIC, 0, 0, on_tick,
                                      server);
        if (r >= 0)
                r = sd_event_source_set_enabled(server->tick, SD_EVENT_OFF);
        if (r >= 0)
                r = sd_event_add_time(server->event, &server->idle_timer, CLOCK_MONOTONIC, 0, 0,
                                      on_idle, server);
        return r < 0 ? r : sd_event_source_set_enabled(server->idle_timer, SD_EVENT_OFF);
}

static int find_free_slots(struct hf_con_server *server)
{
        struct hf_con_area *area = server->area;

        server->free_slots = calloc(area->n_slots, sizeof(*server->free_slots));
        if (!server->free_slots)
                return -ENOMEM;
        for (uint32_t i = area->n_touched; i-- > 0;)
                if (!hf_con_session_is_used(&area->slots[i].session))
                        server->free_slots[server->n_free_slots++] = i;
        return 0;
}

static void server_freep(struct hf_con_server **server)
{
        *server = hf_con_server_free(*server);
}

int hf_con_server_new(sd_event *event, struct hf_keeper *keeper, struct hf_con_area *area,
                      const struct hf_con_config *config, struct hf_con_server **ret,
                      struct hf_error *err)
{
        hf_cleanup(server_freep) struct hf_con_server *server = calloc(1, sizeof(*server));
        int r;

        if (!server)
                return hf_error_sys(err, ENOMEM, "cannot start the server");
        server->event = sd_event_ref(event);
        server->keeper = keeper;
        server->area = area;
        server->config = config;
        server->privileged = geteuid() == 0;
        server->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
        if (gethostname(server->host, sizeof(server->host) - 1) < 0)
                server->host[0] = '\0';
        r = server->spare_fd < 0 ? -errno : make_sources(server);
        if (r >= 0)
                r = find_free_slots(server);
        if (r < 0)
                return hf_error_sys(err, -r, "cannot start the server");
        *ret = hf_steal_ptr(server);
        return 0;
}

struct hf_con_server *hf_con_server_free(struct hf_con_server *server)
{
        struct hf_console *console;
        uint32_t i = 0;

        if (!server)
                return NULL;
        while (server->sessions)
                hf_con_session_free(server->sessions);
        while ((console = hf_con_server_next(server, &i)))
                hf_console_drop(console);
        hf_con_links_end(server);
        (void)sd_event_source_disable_unref(server->retry);
        (void)sd_event_source_disable_unref(server->tick);
        (void)sd_event_source_disable_unref(server->idle_timer);
        hf_close_fd(&server->spare_fd);
        (void)sd_event_unref(server->event);
        free(server->free_slots);
        free(server);
        return NULL;
}

uint64_t hf_con_server_wall_clock(const struct hf_con_server *server)
{
        uint64_t now = 0;

        (void)sd_event_now(server->event, CLOCK_REALTIME, &now);
        return now;
}

uint64_t hf_con_server_now(const struct hf_con_server *server)
{
        uint64_t now = 0;

        (void)sd_event_now(server->event, CLOCK_MONOTONIC, &now);
        return now;
}

void hf_con_server_retry(struct hf_con_server *server)
{
        (void)sd_event_source_set_enabled(server->retry, SD_EVENT_ON);
}

void hf_con_server_wake_at(struct hf_con_server *server, uint64_t usec)
{
        uint64_t at = 0;
        int enabled = SD_EVENT_OFF;

        (void)sd_event_source_get_enabled(server->tick, &enabled);
        (void)sd_event_source_get_time(server->tick, &at);
        if (enabled == SD_EVENT_OFF || usec < at)
                (void)sd_event_source_set_time(server->tick, usec);
        (void)sd_event_source_set_enabled(server->tick, SD_EVENT_ONESHOT);
}

void hf_con_server_check_idle(struct hf_con_server *server)
{
        uint32_t i = 0;
        bool idle = !server->sessions && !hf_con_server_next(server, &i);

        if (!server->idle_timeout)
                return;
        if (!idle) {
                (void)sd_event_source_set_enabled(server->idle_timer, SD_EVENT_OFF);
                return;
        }
        (void)sd_event_source_set_time_relative(server->idle_timer, server->idle_timeout);
        (void)sd_event_source_set_enabled(server->idle_timer, SD_EVENT_ONESHOT);
}

struct hf_console *hf_con_server_next(struct hf_con_server *server, uint32_t *index)
{
        while (*index < server->area->n_consoles_touched) {
                struct hf_console *console = hf_con_area_console(server->area, (*index)++);

                if (console->id)
                        return console;
        }
        return NULL;
}
