/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * holdfast events: what happens to locks, as it happens, until it is told to end. A daemon
 * that goes away is waited for.
 */
#include "cli/message.h"
#include "cli/print.h"
#include "cli/report.h"
#include "cli/verb.h"

#include "base/cleanup.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

/* Between two tries to reach a daemon that is gone: twice as long each time, up to the last. */
#define FIRST_PAUSE_MS 50
#define LAST_PAUSE_MS  2000

struct events_options {
        struct hf_standard_options standard;
        bool json;
        const char *after;
};

static const struct hf_option option_table[] = {
        HF_JSON_OPTION(struct events_options),
        {.long_name = "after",
         .argument = "NUMBER",
         .help = "begin behind the event of that number, as far as the daemon still has it",
         .kind = HF_OPTION_STRING,
         .offset = offsetof(struct events_options, after)},
        HF_STANDARD_OPTIONS(struct events_options, standard),
};

static const struct hf_options options = {
        .program = "holdfast events",
        .usage = "[OPTION]...",
        .summary = "Tells what happens to locks, until it is interrupted.",
        .table = option_table,
        .n = HF_ARRAY_LEN(option_table),
};

struct watch {
        bool json;
        uint64_t last; /* number of the last event, 0: none yet */
        int signal_fd; /* who wants us to end */
};

/* How a stretch of watching ended. */
enum ending {
        GONE,   /* the daemon */
        ENDED,  /* somebody wants us to end, or nobody reads */
        FAILED, /* for good; it was reported */
};

static struct json_object *report(const struct holdfast_event *event)
{
        static const uint8_t none[HOLDFAST_UUID_SIZE];
        struct json_object *object = json_object_new_object();
        char uuid[37];

        (void)snprintf(uuid, sizeof(uuid),
                       "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x",
                       event->uuid[0], event->uuid[1], event->uuid[2], event->uuid[3],
                       event->uuid[4], event->uuid[5], event->uuid[6], event->uuid[7],
                       event->uuid[8], event->uuid[9], event->uuid[10], event->uuid[11],
                       event->uuid[12], event->uuid[13], event->uuid[14], event->uuid[15]);
        hf_print_put(object, "number", json_object_new_uint64(event->number));
        hf_print_put(object, "missed", json_object_new_uint64(event->missed));
        hf_print_put(object, "time", hf_print_time(event->time));
        hf_print_put(object, "event", json_object_new_string(holdfast_event_name(event->kind)));
        hf_print_put(object, "vm", hf_print_string(event->vm));
        hf_print_put(object, "uuid",
                     memcmp(event->uuid, none, sizeof(none)) ? json_object_new_string(uuid) : NULL);
        hf_print_put(object, "pid", json_object_new_int64(event->pid));
        hf_print_put(object, "via", hf_print_string(event->via));
        hf_print_put(object, "class",
                     json_object_new_string(event->metadata ? "metadata" : "content"));
        hf_print_put(object, "mode", json_object_new_string(hf_report_mode(event->shared)));
        hf_print_put(object, "lockspace", hf_print_string(event->lockspace));
        hf_print_put(object, "name", hf_print_string(event->name));
        hf_print_put(object, "text", hf_print_string(event->text));
        return object;
}

/* 2026-01-31 10:04:05  acquired  web1 (pid 17)  /srv/web1.img  (shared)  text */
static void print_line(const struct holdfast_event *event)
{
        time_t seconds = (time_t)(event->time / 1000000);
        char when[32] = "", pid[32] = "";
        struct tm tm;
        bool has_name = *event->name || *event->lockspace;

        if (localtime_r(&seconds, &tm))
                (void)strftime(when, sizeof(when), "%Y-%m-%d %H:%M:%S", &tm);
        if (event->pid)
                (void)snprintf(pid, sizeof(pid), " (pid %d)", (int)event->pid);
        hf_print_line("%s  %-8s  %s%s%s%s%s%s%s%s%s%s", when, holdfast_event_name(event->kind),
                      *event->vm   ? event->vm
                      : event->pid ? "-"
                                   : "",
                      pid, has_name ? "  " : "", event->lockspace, *event->lockspace ? "/" : "",
                      event->name, event->shared ? "  (shared)" : "",
                      event->metadata ? "  (metadata)" : "", *event->text ? "  " : "", event->text);
}

static int show(struct watch *watch, const struct holdfast_event *event)
{
        struct json_object *object;

        if (event->missed)
                hf_message("%llu events were missed, as they were not read in time",
                           (unsigned long long)event->missed);
        watch->last = event->number;
        if (watch->json) {
                object = report(event);
                (void)puts(json_object_to_json_string_ext(
                        object, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));
                (void)json_object_put(object);
        } else {
                print_line(event);
        }
        return fflush(stdout) < 0 ? -errno : 0;
}

static enum ending cannot_write(int number)
{
        if (number == EPIPE)
                return ENDED;
        hf_message("cannot write the answer: %s", strerror(number));
        return FAILED;
}

/* Waits for the daemon (fd, or -1), for whoever wants us to end, and for so long. */
static bool must_end(const struct watch *watch, int fd, int timeout_ms)
{
        /* A pipe that nobody reads any more is reported without being asked for. */
        struct pollfd pollers[] = {
                {watch->signal_fd, POLLIN, 0}, {STDOUT_FILENO, 0, 0}, {fd, POLLIN, 0}};

        (void)poll(pollers, HF_ARRAY_LEN(pollers), timeout_ms);
        return pollers[0].revents || (pollers[1].revents & POLLERR);
}

static enum ending listen_to(struct watch *watch, struct holdfast_events *events)
{
        const struct holdfast_event *event;
        struct holdfast_error error = {0};
        int r;

        for (;;) {
                while ((r = holdfast_events_next(events, 0, &event, &error)) > 0) {
                        r = show(watch, event);
                        if (r < 0)
                                return cannot_write(-r);
                }
                if (r == -ECONNRESET)
                        return GONE;
                if (r < 0) {
                        hf_message("%s", error.text);
                        return FAILED;
                }
                if (must_end(watch, holdfast_events_fd(events), -1))
                        return ENDED;
        }
}

/* Until a daemon serves again. An error that is none of a daemon's absence ends it. */
static enum ending come_back(struct watch *watch, struct holdfast_events **ret)
{
        struct holdfast_error error = {0};
        int pause = FIRST_PAUSE_MS;

        hf_message("the lock daemon is gone; waiting for it");
        while (holdfast_events_open(watch->last, 0, ret, &error) < 0) {
                if (error.code != HOLDFAST_E_NO_DAEMON && error.code != HOLDFAST_E_PROTOCOL &&
                    error.code != HOLDFAST_E_TIMEOUT) {
                        hf_message("%s", error.text);
                        return FAILED;
                }
                if (must_end(watch, -1, pause))
                        return ENDED;
                pause = 2 * pause < LAST_PAUSE_MS ? 2 * pause : LAST_PAUSE_MS;
        }
        hf_message("the lock daemon is back");
        return GONE;
}

static int run(struct watch *watch)
{
        struct holdfast_error error = {0};
        struct holdfast_events *events = NULL;
        enum ending ending;

        if (holdfast_events_open(watch->last, 0, &events, &error) < 0) {
                hf_message("%s", error.text);
                return hf_message_status(&error);
        }
        do {
                ending = listen_to(watch, events);
                holdfast_events_close(hf_steal_ptr(events));
                if (ending == GONE)
                        ending = come_back(watch, &events);
        } while (ending == GONE);
        return ending == ENDED ? HF_EXIT_OK : HF_EXIT_SYSTEM;
}

/* Interruptions come by a descriptor, so that none falls between two looks. */
static int take_signals(void)
{
        sigset_t set;

        (void)sigemptyset(&set);
        (void)sigaddset(&set, SIGINT);
        (void)sigaddset(&set, SIGTERM);
        (void)sigaddset(&set, SIGHUP);
        if (sigprocmask(SIG_BLOCK, &set, NULL) < 0 || signal(SIGPIPE, SIG_IGN) == SIG_ERR)
                return -1;
        return signalfd(-1, &set, SFD_CLOEXEC);
}

static bool read_number(const char *text, uint64_t *ret)
{
        char *end;

        errno = 0;
        *ret = strtoull(text, &end, 10);
        return *text >= '0' && *text <= '9' && !*end && !errno;
}

int hf_verb_events(int argc, char **argv)
{
        struct events_options given = {0};
        struct watch watch = {0};
        int first, status;

        if (hf_verb_options(&options, argc, argv, &given, &given.standard, &first, &status) < 0)
                return status;
        if (first < argc) {
                hf_message("events takes no arguments; see 'holdfast events --help'");
                return HF_EXIT_USAGE;
        }
        if (given.after && !read_number(given.after, &watch.last)) {
                hf_message("--after takes the number of an event, as --json shows it: \"%s\" is "
                           "none",
                           given.after);
                return HF_EXIT_USAGE;
        }
        watch.json = given.json;
        watch.signal_fd = take_signals();
        if (watch.signal_fd < 0) {
                hf_message("cannot wait for signals: %s", strerror(errno));
                return HF_EXIT_SYSTEM;
        }
        status = run(&watch);
        (void)close(watch.signal_fd);
        return status;
}
