/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * holdfast sanlock status: lockspaces of this host, the other hosts in them, the leases that this
 * host's VMs hold, how long things take, and what is wrong.
 */

#include "base/cleanup.h"
#include "base/clock.h"
#include "cli/message.h"
#include "cli/print.h"
#include "driver/sanlock/health.h"
#include "driver/sanlock/note.h"
#include "driver/sanlock/timing.h"
#include "sanlock/tool.h"

#include <limits.h>
#include <string.h>

/* For programs that answer at once, unless the daemon is stuck. */
#define ASK_NS (10 * 1000000000ULL)

static const struct hf_option option_table[] = {
        HF_JSON_OPTION(struct hf_tool_options),
        HF_TOOL_CONFIG,
        HF_STANDARD_OPTIONS(struct hf_tool_options, standard),
};

static const struct hf_options options = {
        .program = "holdfast sanlock status",
        .usage = "[OPTION]...",
        .summary = "Shows this host's lockspaces, the hosts and leases in them, and how long "
                   "things take. Ends with 1 if something is wrong.",
        .table = option_table,
        .n = HF_ARRAY_LEN(option_table),
};

static const struct hf_print_column host_columns[] = {
        {"HOST", "id"},
        {"NAME", "name"},
        {"GENERATION", "generation"},
        {"STATE", "words"},
};

static const struct hf_print_column lease_columns[] = {
        {"LEASE", "key"}, {"VERSION", "version"}, {"VM", "name"}, {"PID", "pid"}, {"VIA", "via"},
};

struct report {
        const struct hf_tool *tool;
        const struct hf_sanlock_daemon *status;
        uint64_t now; /* seconds of CLOCK_MONOTONIC */
        struct json_object *document, *problems, *warnings, *notes;
};

static struct json_object *number(uint64_t value)
{
        return json_object_new_uint64(value);
}

/* ---- facts ------------------------------------------------------------------------------- */

static const char *state_name(enum hf_sanlock_host_state state)
{
        static const char *const names[] = {
                [HF_SANLOCK_HOST_UNKNOWN] = "unknown", [HF_SANLOCK_HOST_FREE] = "left",
                [HF_SANLOCK_HOST_LIVE] = "alive",      [HF_SANLOCK_HOST_FAIL] = "lost",
                [HF_SANLOCK_HOST_DEAD] = "dead",
        };

        return state < HF_ARRAY_LEN(names) && names[state] ? names[state] : "unknown";
}

static struct json_object *host_of(const struct report *report, const struct hf_sanlock_host *host)
{
        unsigned int wait = hf_sanlock_available_in(host, report->status->watchdog_fire,
                                                    report->now);
        struct json_object *object = json_object_new_object();
        char words[64];

        if (host->state == HF_SANLOCK_HOST_FAIL)
                (void)snprintf(words, sizeof(words), "lost: its leases can be had in %u s", wait);
        else
                (void)snprintf(words, sizeof(words), "%s", state_name(host->state));
        hf_print_put(object, "id", number(host->id));
        hf_print_put(object, "name", *host->name ? hf_print_string(host->name) : NULL);
        hf_print_put(object, "generation", number(host->generation));
        hf_print_put(object, "io_timeout", number(host->io_timeout));
        hf_print_put(object, "state", json_object_new_string(state_name(host->state)));
        hf_print_put(object, "available_in", wait == UINT_MAX ? NULL : number(wait));
        hf_print_put(object, "words", json_object_new_string(words));
        return object;
}

static struct json_object *hosts_of(const struct report *report, const char *lockspace)
{
        struct json_object *array = json_object_new_array();
        hf_cleanup_free struct hf_sanlock_host *hosts = NULL;
        uint64_t deadline = hf_clock_nsec(CLOCK_MONOTONIC) + ASK_NS;
        size_t n = 0;

        /* Of a lockspace that is just being joined nobody knows them. */
        (void)hf_sanlock_hosts_read(lockspace, deadline, &hosts, &n, NULL);
        for (size_t i = 0; i < n; i++)
                (void)json_object_array_add(array, host_of(report, &hosts[i]));
        return array;
}

/* The VM's name by its note, or what the process called itself. */
static void put_process(const struct report *report, pid_t pid, struct json_object *object)
{
        struct hf_sanlock_note note = {0};
        bool known = hf_sanlock_note_find(&report->tool->paths, pid, &note) > 0;
        const char *name = known ? note.name : NULL;

        for (size_t i = 0; i < report->status->n_processes && !name; i++)
                if (report->status->processes[i].pid == pid)
                        name = report->status->processes[i].name;
        hf_print_put(object, "name", name && *name ? hf_print_string(name) : NULL);
        hf_print_put(object, "uuid", known && note.uuid ? hf_print_string(note.uuid) : NULL);
        hf_print_put(object, "via", known && note.via ? hf_print_string(note.via) : NULL);
        hf_print_put(object, "pid", pid ? json_object_new_int(pid) : NULL);
        hf_sanlock_note_clear(&note);
}

static struct json_object *leases_of(const struct report *report, const char *lockspace)
{
        const struct hf_sanlock_daemon *status = report->status;
        struct json_object *array = json_object_new_array();

        for (size_t i = 0; i < status->n_held; i++) {
                const struct hf_sanlock_held *held = &status->held[i];
                struct json_object *object;

                if (strcmp(held->lockspace, lockspace) != 0)
                        continue;
                object = json_object_new_object();
                hf_print_put(object, "key", hf_print_string(held->key));
                hf_print_put(object, "path", hf_print_string(held->path));
                hf_print_put(object, "offset", number(held->offset));
                hf_print_put(object, "mode",
                             json_object_new_string(held->shared ? "shared" : "exclusive"));
                hf_print_put(object, "version", held->shared ? NULL : number(held->version));
                hf_print_put(object, "orphan", json_object_new_boolean(held->orphan));
                put_process(report, held->pid, object);
                (void)json_object_array_add(array, object);
        }
        return array;
}

static struct json_object *timing_of(const struct hf_sanlock_timing *timing)
{
        const struct {
                const char *key;
                unsigned int seconds;
        } rows[] = {
                {"renewal", timing->renewal},       {"warning", timing->warning},
                {"failed", timing->failed},         {"kill", timing->kill},
                {"reset", timing->reset},           {"join", timing->join},
                {"join_again", timing->join_again}, {"join_in_use", timing->join_in_use},
                {"request", timing->request},
        };
        struct json_object *object = json_object_new_object();

        for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++)
                hf_print_put(object, rows[i].key, number(rows[i].seconds));
        return object;
}

static struct json_object *space_of(const struct report *report,
                                    const struct hf_sanlock_space *space)
{
        const struct hf_sanlock_daemon *status = report->status;
        struct hf_sanlock_timing timing = hf_sanlock_timing(space->io_timeout,
                                                            status->watchdog_fire, status->grace);
        const char *state = space->adding                   ? "joining"
                            : space->removing               ? "leaving"
                            : space->killing                ? "lost"
                            : hf_sanlock_space_fails(space) ? "in danger"
                                                            : "joined";
        struct json_object *object = json_object_new_object();

        hf_print_put(object, "name", hf_print_string(space->name));
        hf_print_put(object, "path", hf_print_string(space->path));
        hf_print_put(object, "offset", number(space->offset));
        hf_print_put(object, "host_id", number(space->host_id));
        hf_print_put(object, "io_timeout", number(space->io_timeout));
        hf_print_put(object, "state", json_object_new_string(state));
        hf_print_put(object, "renewed_ago",
                     space->last_success && space->last_success <= report->now
                             ? number(report->now - space->last_success)
                             : NULL);
        hf_print_put(object, "timing", timing_of(&timing));
        hf_print_put(object, "hosts", hosts_of(report, space->name));
        hf_print_put(object, "leases", leases_of(report, space->name));
        return object;
}

static void add_finding(void *ctx, enum hf_sanlock_grade grade, const char *text)
{
        struct report *report = ctx;
        struct json_object *to = grade == HF_SANLOCK_TROUBLE   ? report->problems
                                 : grade == HF_SANLOCK_WARNING ? report->warnings
                                                               : report->notes;

        (void)json_object_array_add(to, hf_print_string(text));
}

static void fill(struct report *report)
{
        const struct hf_sanlock_daemon *status = report->status;
        struct json_object *daemon = json_object_new_object(), *spaces = json_object_new_array();

        report->document = hf_print_document("holdfast.sanlock.status");
        report->problems = json_object_new_array();
        report->warnings = json_object_new_array();
        report->notes = json_object_new_array();
        hf_print_put(daemon, "version", hf_print_string(status->version));
        hf_print_put(daemon, "host", hf_print_string(status->host_name));
        hf_print_put(daemon, "watchdog", json_object_new_boolean(status->watchdog));
        hf_print_put(daemon, "watchdog_fire", number(status->watchdog_fire));
        hf_print_put(daemon, "grace", number(status->grace));
        for (size_t i = 0; i < status->n_spaces; i++)
                (void)json_object_array_add(spaces, space_of(report, &status->spaces[i]));
        hf_sanlock_health(&report->tool->settings, status, report->now, add_finding, report);
        hf_print_put(report->document, "daemon", daemon);
        hf_print_put(report->document, "lockspaces", spaces);
        hf_print_put(report->document, "problems", report->problems);
        hf_print_put(report->document, "warnings", report->warnings);
        hf_print_put(report->document, "notes", report->notes);
}

/* ---- in words ---------------------------------------------------------------------------- */

static void print_findings(const char *title, struct json_object *array)
{
        for (size_t i = 0; i < json_object_array_length(array); i++)
                hf_print_line("%s: %s", title,
                              json_object_get_string(json_object_array_get_idx(array, i)));
}

static void print_part(struct json_object *rows, const struct hf_print_column *columns, size_t n)
{
        if (json_object_array_length(rows) == 0)
                return;
        printf("\n");
        hf_print_table(rows, columns, n, NULL);
}

static void print_space(struct json_object *space)
{
        struct json_object *timing = json_object_object_get(space, "timing");
        const char *ago = hf_print_text(space, "renewed_ago");

        printf("\n");
        hf_print_line("Lockspace %s: %s, as host %s", hf_print_text(space, "name"),
                      hf_print_text(space, "state"), hf_print_text(space, "host_id"));
        hf_print_line("  in %s, offset %s, I/O timeout %s s", hf_print_text(space, "path"),
                      hf_print_text(space, "offset"), hf_print_text(space, "io_timeout"));
        if (*ago)
                hf_print_line("  renewed %s s ago, and every %s s", ago,
                              hf_print_text(timing, "renewal"));
        hf_print_line("  silent storage: VMs are acted on after %s s, killed after %s s",
                      hf_print_text(timing, "failed"), hf_print_text(timing, "kill"));
        hf_print_line("  lost host: what it held can be had after %s s",
                      hf_print_text(timing, "reset"));
        hf_print_line("  joining takes %s s, after a crash up to %s s",
                      hf_print_text(timing, "join"), hf_print_text(timing, "join_again"));
        print_part(json_object_object_get(space, "hosts"), host_columns,
                   HF_ARRAY_LEN(host_columns));
        print_part(json_object_object_get(space, "leases"), lease_columns,
                   HF_ARRAY_LEN(lease_columns));
}

static void print_words(const struct report *report)
{
        struct json_object *daemon = json_object_object_get(report->document, "daemon");
        struct json_object *spaces = json_object_object_get(report->document, "lockspaces");

        hf_print_line("sanlock %s on host %s, %s", hf_print_text(daemon, "version"),
                      hf_print_text(daemon, "host"),
                      report->status->watchdog ? "with a watchdog" : "without a watchdog");
        print_findings("problem", report->problems);
        print_findings("warning", report->warnings);
        print_findings("note", report->notes);
        for (size_t i = 0; i < json_object_array_length(spaces); i++)
                print_space(json_object_array_get_idx(spaces, i));
}

int hf_sanlock_verb_status(int argc, char **argv)
{
        struct hf_tool_options given = {0};
        hf_cleanup_tool struct hf_tool tool = {0};
        struct hf_sanlock_daemon status;
        struct hf_error error = {0};
        struct report report = {.tool = &tool, .status = &status};
        int first, result;

        if (hf_tool_begin(&options, argc, argv, &given, &tool, &first, &result) < 0)
                return result;
        if (first < argc)
                return hf_tool_no_arguments(&options);
        if (!hf_tool_has_daemon())
                return HF_EXIT_NO_DAEMON;
        if (hf_sanlock_status_read(hf_clock_nsec(CLOCK_MONOTONIC) + ASK_NS, &status, &error) < 0) {
                hf_message("%s", error.text);
                return HF_EXIT_NO_DAEMON;
        }
        report.now = hf_clock_nsec(CLOCK_MONOTONIC) / 1000000000;
        fill(&report);
        if (given.json)
                hf_print_json(report.document);
        else
                print_words(&report);
        result = json_object_array_length(report.problems) ? HF_TOOL_TROUBLE : HF_EXIT_OK;
        (void)json_object_put(report.document);
        hf_sanlock_status_clear(&status);
        return hf_print_end(result);
}
