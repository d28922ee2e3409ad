/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/server.h"

#include "base/cleanup.h"
#include "base/log.h"
#include "daemon/area.h"
#include "daemon/departure.h"
#include "daemon/guard.h"
#include "daemon/search.h"
#include "daemon/session.h"
#include "daemon/wait.h"
#include "daemon/work.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>

#define MODULE "daemon.server"

/* The lowest comes out first, so that memory is used at the area's begin. */
static int find_free_slots(struct hf_server *server)
{
        server->free_slots = calloc(server->area->n_slots, sizeof(*server->free_slots));
        if (!server->free_slots)
                return -ENOMEM;
        for (uint32_t i = server->area->n_touched; i-- > 0;)
                if (!hf_session_is_used(&server->area->slots[i].session))
                        server->free_slots[server->n_free_slots++] = i;
        return 0;
}

int hf_server_add_background(struct hf_server *server, sd_event_io_handler_t handler,
                             sd_event_source **ret)
{
        /* Always readable, as nobody reads it. */
        hf_cleanup_fd int fd = eventfd(1, EFD_CLOEXEC);
        sd_event_source *source;
        int r;

        if (fd < 0)
                return -errno;
        r = sd_event_add_io(server->event, &source, fd, EPOLLIN, handler, server);
        if (r < 0)
                return r;
        (void)sd_event_source_set_io_fd_own(source, true);
        (void)hf_steal_fd(&fd);
        *ret = source;
        return sd_event_source_set_enabled(source, SD_EVENT_OFF);
}

/* An epoll for connections, inside the loop's. */
static int make_poll(struct hf_server *server, sd_event_io_handler_t handler, int *ret_fd,
                     sd_event_source **ret)
{
        *ret_fd = epoll_create1(EPOLL_CLOEXEC);
        if (*ret_fd < 0)
                return -errno;
        return sd_event_add_io(server->event, ret, *ret_fd, EPOLLIN, handler, server);
}

static int on_idle(sd_event_source *source, uint64_t usec, void *data)
{
        const struct hf_server *server = data;

        (void)source;
        (void)usec;
        hf_log(HF_LOG_INFO, MODULE, "no client and no lock for %llu s: ending",
               (unsigned long long)(server->idle_timeout / 1000000));
        return sd_event_exit(server->event, 0);
}

/*
 * The loop opens a descriptor with the first timer of a clock. When a VM has to be ended
 * there may be none left.
 */
static int make_clock(struct hf_server *server)
{
        int r = sd_event_add_time(server->event, &server->idle_timer, CLOCK_MONOTONIC, 0, 0,
                                  on_idle, server);

        return r < 0 ? r : sd_event_source_set_enabled(server->idle_timer, SD_EVENT_OFF);
}

static int make_parts(struct hf_server *server)
{
        int r;

        server->owner_sources = calloc(HF_TABLE_OWNERS_MAX, sizeof(*server->owner_sources));
        server->owner_timers = calloc(HF_TABLE_OWNERS_MAX, sizeof(*server->owner_timers));
        if (!server->owner_sources || !server->owner_timers)
                return -ENOMEM;
        server->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
        if (server->spare_fd < 0)
                return -errno;
        r = make_poll(server, hf_sessions_serve, &server->poll_fd, &server->poll_source);
        if (r >= 0)
                r = make_poll(server, hf_readers_serve, &server->reader_poll_fd,
                              &server->reader_poll_source);
        if (r >= 0)
                r = hf_server_add_background(server, hf_departures_serve, &server->departures);
        if (r >= 0)
                r = hf_server_add_background(server, hf_searches_serve, &server->searcher);
        if (r >= 0)
                r = make_clock(server);
        return r < 0 ? r : find_free_slots(server);
}

static void server_freep(struct hf_server **server)
{
        *server = hf_server_free(*server);
}

int hf_server_new(sd_event *event, struct hf_config *config, struct hf_keeper *keeper,
                  struct hf_table *table, struct hf_area *area, struct hf_server **ret,
                  struct hf_error *err)
{
        hf_cleanup(server_freep) struct hf_server *server = calloc(1, sizeof(*server));
        int r;

        if (!server)
                return hf_error_sys(err, ENOMEM, "cannot start the server");
        server->area = area;
        server->spare_fd = server->poll_fd = server->reader_poll_fd = -1;
        for (size_t i = 0; i < HF_RESERVE; i++)
                server->reserve[i] = -1;
        server->event = sd_event_ref(event);
        server->answered_end = &server->answered;
        server->config = config;
        server->privileged = geteuid() == 0;
        if (gethostname(server->host, sizeof(server->host) - 1) < 0)
                server->host[0] = '\0';
        r = make_parts(server);
        if (r >= 0)
                r = hf_work_new(server, keeper);
        if (r >= 0)
                r = hf_guard_new(server, keeper);
        if (r >= 0)
                r = hf_waits_new(server);
        if (r < 0)
                return hf_error_sys(err, -r, "cannot start the server");
        server->table = table;
        *ret = hf_steal_ptr(server);
        return 0;
}

void hf_server_reserve(struct hf_server *server)
{
        for (size_t i = 0; i < HF_RESERVE; i++)
                if (server->reserve[i] < 0)
                        server->reserve[i] = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

/*
 * The end of the daemon, which is nobody's fault: no session's end has any
 * consequence, no VM is touched.
 */
struct hf_server *hf_server_free(struct hf_server *server)
{
        if (!server)
                return NULL;
        while (server->sessions)
                hf_session_free(server->sessions);
        for (uint32_t i = 0; server->table && (i = hf_table_next_owner(server->table, i));) {
                (void)sd_event_source_disable_unref(server->owner_sources[i]);
                (void)sd_event_source_disable_unref(server->owner_timers[i]);
                (void)close(hf_table_owner(server->table, i)->pidfd);
        }
        (void)sd_event_source_disable_unref(server->departures);
        (void)sd_event_source_disable_unref(server->searcher);
        (void)sd_event_source_disable_unref(server->parker);
        (void)sd_event_source_disable_unref(server->parker_timer);
        (void)sd_event_source_disable_unref(server->await_timer);
        (void)sd_event_source_disable_unref(server->idle_timer);
        (void)sd_event_source_disable_unref(server->event_teller);
        hf_waits_free(server);
        hf_guard_free(server);
        hf_work_free(server);
        (void)hf_table_free(server->table);
        (void)sd_event_source_disable_unref(server->poll_source);
        (void)sd_event_source_disable_unref(server->reader_poll_source);
        hf_close_fd(&server->poll_fd);
        hf_close_fd(&server->reader_poll_fd);
        hf_close_fd(&server->spare_fd);
        for (size_t i = 0; i < HF_RESERVE; i++)
                hf_close_fd(&server->reserve[i]);
        (void)sd_event_unref(server->event);
        free(server->owner_sources);
        free(server->owner_timers);
        free(server->free_slots);
        free(server);
        return NULL;
}

uint64_t hf_server_wall_clock(const struct hf_server *server)
{
        uint64_t now = 0;

        (void)sd_event_now(server->event, CLOCK_REALTIME, &now);
        return now;
}

uint64_t hf_server_boot_ticks(const struct hf_server *server)
{
        uint64_t now = 0;

        (void)sd_event_now(server->event, CLOCK_BOOTTIME, &now);
        return now / (1000000 / (uint64_t)sysconf(_SC_CLK_TCK));
}

void hf_server_check_idle(struct hf_server *server)
{
        bool idle = !server->clients[HF_SERVICE_LOCKS] && !server->clients[HF_SERVICE_ADMIN] &&
                    !hf_table_count(server->table).holds;

        if (!server->idle_timeout)
                return;
        if (!idle) {
                (void)sd_event_source_set_enabled(server->idle_timer, SD_EVENT_OFF);
                return;
        }
        (void)sd_event_source_set_time_relative(server->idle_timer, server->idle_timeout);
        (void)sd_event_source_set_enabled(server->idle_timer, SD_EVENT_ONESHOT);
}
