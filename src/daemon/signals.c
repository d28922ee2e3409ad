/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a server is told while it serves: to end, to read again, to become a newer program. */
#include "base/cleanup.h"
#include "base/log.h"
#include "daemon/adopt.h"
#include "daemon/daemon.h"

#include <errno.h>
#include <signal.h>
#include <sys/epoll.h>

#define MODULE "daemon.signals"

/* A program that has not said by then whether it can go on with our state cannot. */
#define PROBE_LIMIT_USEC (10 * 1000000ULL)

/* How long after a failed try to take the supervisor's place there is another one. */
#define SUCCESSION_USEC (5 * 1000000ULL)

static int on_stop(sd_event_source *source, const struct signalfd_siginfo *info, void *data)
{
        hf_log(HF_LOG_INFO, MODULE, "ending on signal %u", info->ssi_signo);
        (void)data;
        return sd_event_exit(sd_event_source_get_event(source), 0);
}

static int on_reload(sd_event_source *source, const struct signalfd_siginfo *info, void *data)
{
        struct hf_error error;

        (void)source;
        (void)info;
        if (daemon_reload(data, &error) < 0)
                hf_log(HF_LOG_ERROR, MODULE, "keeping the old configuration: %s", error.text);
        else
                hf_log(HF_LOG_INFO, MODULE, "configuration read again");
        return 0;
}

static void forget_probe(struct daemon *d)
{
        d->probe = sd_event_source_disable_unref(d->probe);
        d->probe_limit = sd_event_source_disable_unref(d->probe_limit);
}

/* The program at our path has said yes or no, or takes too long. */
static int end_probe(struct daemon *d)
{
        struct hf_error error;

        forget_probe(d);
        if (hf_keeper_probe_end(d->keeper, &error) < 0) {
                hf_log(HF_LOG_ERROR, MODULE, "serving on as before: %s", error.text);
                return 0;
        }
        hf_log(HF_LOG_INFO, MODULE, "becoming the program that is installed now");
        hf_work_end_askers(d->server);
        hf_adoption_leave(d->keeper, d->area, d->server->table, true);
        hf_keeper_upgrade(d->keeper);
}

static int on_probed(sd_event_source *source, int fd, uint32_t revents, void *data)
{
        (void)source;
        (void)fd;
        (void)revents;
        return end_probe(data);
}

static int on_probe_limit(sd_event_source *source, uint64_t usec, void *data)
{
        (void)source;
        (void)usec;
        return end_probe(data);
}

static int watch_probe(struct daemon *d, int pidfd_arg)
{
        hf_cleanup_fd int pidfd = pidfd_arg;
        int r = sd_event_add_io(d->event, &d->probe, pidfd, EPOLLIN, on_probed, d);

        if (r < 0)
                return r;
        (void)sd_event_source_set_io_fd_own(d->probe, true);
        (void)hf_steal_fd(&pidfd);
        return sd_event_add_time_relative(d->event, &d->probe_limit, CLOCK_MONOTONIC,
                                          PROBE_LIMIT_USEC, 0, on_probe_limit, d);
}

static int on_upgrade(sd_event_source *source, const struct signalfd_siginfo *info, void *data)
{
        struct daemon *d = data;
        struct hf_error error;
        int pidfd, r;

        (void)source;
        (void)info;
        if (d->probe)
                return 0;
        if (hf_keeper_probe_begin(d->keeper, &pidfd, &error) < 0) {
                hf_log(HF_LOG_ERROR, MODULE, "serving on as before: %s", error.text);
                return 0;
        }
        r = watch_probe(d, pidfd);
        if (r < 0) {
                forget_probe(d);
                (void)hf_keeper_probe_end(d->keeper, NULL);
                hf_log(HF_LOG_ERROR, MODULE, "serving on as before: %s", strerrordesc_np(-r));
        }
        return 0;
}

static int on_succession(sd_event_source *source, uint64_t usec, void *data);

/* Returns only where it did not work; then there is another try. */
static int take_place(struct daemon *d)
{
        int r;

        hf_adoption_leave(d->keeper, d->area, d->server->table, true);
        r = hf_keeper_inherit(d->keeper);
        hf_adoption_leave(d->keeper, d->area, d->server->table, false);
        if (!d->succession)
                hf_log(HF_LOG_ERROR, MODULE,
                       "cannot take the supervisor's place: %s; serving on and trying again, but "
                       "nobody will replace this process when it is killed",
                       strerrordesc_np(-r));
        d->succession = sd_event_source_disable_unref(d->succession);
        return sd_event_add_time_relative(d->event, &d->succession, CLOCK_MONOTONIC,
                                          SUCCESSION_USEC, 0, on_succession, d);
}

static int on_succession(sd_event_source *source, uint64_t usec, void *data)
{
        (void)source;
        (void)usec;
        (void)take_place(data);
        return 0;
}

/* Somebody has killed the supervisor: we take its place. */
static int on_supervisor_ended(sd_event_source *source, int fd, uint32_t revents, void *data)
{
        (void)fd;
        (void)revents;
        (void)sd_event_source_set_enabled(source, SD_EVENT_OFF);
        hf_log(HF_LOG_WARNING, MODULE, "the supervisor was killed; taking its place");
        (void)take_place(data);
        return 0;
}

static int watch_supervisor(struct daemon *d)
{
        int fd = hf_keeper_supervisor_fd(d->keeper);

        return fd < 0 ? 0 : sd_event_add_io(d->event, NULL, fd, EPOLLIN, on_supervisor_ended, d);
}

int daemon_handle_signals(struct daemon *d, struct hf_error *err)
{
        static const struct {
                int number;
                sd_event_signal_handler_t handler;
        } handlers[] = {
                {SIGINT, on_stop},   {SIGQUIT, on_stop},    {SIGTERM, on_stop},
                {SIGHUP, on_reload}, {SIGUSR1, on_upgrade},
        };
        sigset_t all;
        int r = 0;

        (void)sigemptyset(&all);
        for (size_t i = 0; i < HF_ARRAY_LEN(handlers); i++)
                (void)sigaddset(&all, handlers[i].number);
        if (sigprocmask(SIG_BLOCK, &all, NULL) < 0 || signal(SIGPIPE, SIG_IGN) == SIG_ERR)
                return hf_error_sys(err, errno, "cannot set up signals");
        for (size_t i = 0; r >= 0 && i < HF_ARRAY_LEN(handlers); i++)
                r = sd_event_add_signal(d->event, NULL, handlers[i].number, handlers[i].handler, d);
        if (r >= 0)
                r = watch_supervisor(d);
        return r < 0 ? hf_error_sys(err, -r, "cannot set up signals") : 0;
}
