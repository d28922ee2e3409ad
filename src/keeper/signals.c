/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "keeper/signals.h"

#include "base/cleanup.h"
#include "base/log.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#define MODULE "keeper.signals"

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
        struct hf_keeper_signals *signals = data;
        struct hf_error error;

        (void)source;
        (void)info;
        if (signals->ops->reload(signals->data, &error) < 0)
                hf_log(HF_LOG_ERROR, MODULE, "keeping the old configuration: %s", error.text);
        else
                hf_log(HF_LOG_INFO, MODULE, "configuration read again");
        return 0;
}

static void forget_probe(struct hf_keeper_signals *signals)
{
        signals->probe = sd_event_source_disable_unref(signals->probe);
        signals->probe_limit = sd_event_source_disable_unref(signals->probe_limit);
}

static int part(struct hf_keeper_signals *signals)
{
        return signals->ops->part ? signals->ops->part(signals->data) : 0;
}

/* The program at our path has said yes or no, or takes too long. */
static int end_probe(struct hf_keeper_signals *signals)
{
        struct hf_error error;
        int r;

        forget_probe(signals);
        if (hf_keeper_probe_end(signals->keeper, &error) < 0) {
                hf_log(HF_LOG_ERROR, MODULE, "serving on as before: %s", error.text);
                return 0;
        }
        r = part(signals);
        if (r < 0) {
                hf_log(HF_LOG_ERROR, MODULE,
                       "serving on as before: a process waits for a filesystem with descriptors of "
                       "ours: %s",
                       strerrordesc_np(-r));
                return 0;
        }
        hf_log(HF_LOG_INFO, MODULE, "becoming the program that is installed now");
        signals->ops->leave(signals->data, true);
        hf_keeper_upgrade(signals->keeper);
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

static int watch_probe(struct hf_keeper_signals *signals, int pidfd_arg)
{
        hf_cleanup_fd int pidfd = pidfd_arg;
        int r = sd_event_add_io(signals->event, &signals->probe, pidfd, EPOLLIN, on_probed,
                                signals);

        if (r < 0)
                return r;
        (void)sd_event_source_set_io_fd_own(signals->probe, true);
        (void)hf_steal_fd(&pidfd);
        return sd_event_add_time_relative(signals->event, &signals->probe_limit, CLOCK_MONOTONIC,
                                          PROBE_LIMIT_USEC, 0, on_probe_limit, signals);
}

static int on_upgrade(sd_event_source *source, const struct signalfd_siginfo *info, void *data)
{
        struct hf_keeper_signals *signals = data;
        struct hf_error error;
        int pidfd, r;

        (void)source;
        (void)info;
        if (signals->probe)
                return 0;
        if (hf_keeper_probe_begin(signals->keeper, &pidfd, &error) < 0) {
                hf_log(HF_LOG_ERROR, MODULE, "serving on as before: %s", error.text);
                return 0;
        }
        r = watch_probe(signals, pidfd);
        if (r < 0) {
                forget_probe(signals);
                (void)hf_keeper_probe_end(signals->keeper, NULL);
                hf_log(HF_LOG_ERROR, MODULE, "serving on as before: %s", strerrordesc_np(-r));
        }
        return 0;
}

static int on_succession(sd_event_source *source, uint64_t usec, void *data);

/* Returns only where it did not work; then there is another try. */
static int take_place(struct hf_keeper_signals *signals)
{
        int r;

        r = part(signals);
        if (r >= 0) {
                signals->ops->leave(signals->data, true);
                r = hf_keeper_inherit(signals->keeper);
                signals->ops->leave(signals->data, false);
        }
        if (!signals->succession)
                hf_log(HF_LOG_ERROR, MODULE,
                       "cannot take the supervisor's place: %s; serving on and trying again, but "
                       "nobody will replace this process when it is killed",
                       strerrordesc_np(-r));
        signals->succession = sd_event_source_disable_unref(signals->succession);
        return sd_event_add_time_relative(signals->event, &signals->succession, CLOCK_MONOTONIC,
                                          SUCCESSION_USEC, 0, on_succession, signals);
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
        /* At once: systemd is about to find its service without a main process. */
        (void)sd_notifyf(0, "MAINPID=%d", (int)getpid());
        hf_log(HF_LOG_WARNING, MODULE, "the supervisor was killed; taking its place");
        (void)take_place(data);
        return 0;
}

static int on_beat(sd_event_source *source, uint64_t usec, void *data)
{
        struct hf_keeper_signals *signals = data;

        (void)usec;
        hf_keeper_beat(signals->keeper);
        (void)sd_event_source_set_time_relative(source, hf_keeper_beat_usec(signals->keeper));
        return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

/* The loop says that it turns, where somebody wants to know. */
static int begin_beating(struct hf_keeper_signals *signals)
{
        uint64_t usec = hf_keeper_beat_usec(signals->keeper);

        if (!usec)
                return 0;
        hf_keeper_beat(signals->keeper);
        return sd_event_add_time_relative(signals->event, NULL, CLOCK_MONOTONIC, usec, usec / 4,
                                          on_beat, signals);
}

static int watch_supervisor(struct hf_keeper_signals *signals)
{
        int fd = hf_keeper_supervisor_fd(signals->keeper);

        return fd < 0 ? 0
                      : sd_event_add_io(signals->event, NULL, fd, EPOLLIN, on_supervisor_ended,
                                        signals);
}

int hf_keeper_handle_signals(struct hf_keeper_signals *signals, struct hf_error *err)
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
                r = sd_event_add_signal(signals->event, NULL, handlers[i].number,
                                        handlers[i].handler, signals);
        if (r >= 0)
                r = watch_supervisor(signals);
        if (r >= 0)
                r = begin_beating(signals);
        return r < 0 ? hf_error_sys(err, -r, "cannot set up signals") : 0;
}
