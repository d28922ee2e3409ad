/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * holdfast adopt: a host's virtlockd becomes holdfastd, and back, while its VMs run.
 */
#include "cli/adopt.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/program.h"
#include "cli/message.h"
#include "cli/print.h"
#include "cli/verb.h"

#include <errno.h>
#include <fcntl.h>
#include <holdfast/holdfast.h>
#include <libgen.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/file.h>

/* So long another one may still be under way, and so often that is looked at. */
#define ALONE_MS 3000
#define LOOK_MS  20

struct adopt_options {
        struct hf_standard_options standard;
        bool dry_run, back, json;
};

static const struct hf_option option_table[] = {
        {.short_name = 'n',
         .long_name = "dry-run",
         .help = "change nothing; tell what was found and what would be done",
         .kind = HF_OPTION_FLAG,
         .offset = offsetof(struct adopt_options, dry_run)},
        {.long_name = "back",
         .help = "make the holdfastd a virtlockd again",
         .kind = HF_OPTION_FLAG,
         .offset = offsetof(struct adopt_options, back)},
        {.long_name = "json",
         .help = "print JSON, for programs; with --dry-run",
         .kind = HF_OPTION_FLAG,
         .offset = offsetof(struct adopt_options, json)},
        HF_STANDARD_OPTIONS(struct adopt_options, standard),
};

static const struct hf_options options = {
        .program = "holdfast adopt",
        .usage = "[OPTION]...",
        .summary = "Makes this host's virtlockd a holdfastd while its VMs run: the same process, "
                   "connections and locks. No VM is stopped or paused, and no lock is free in "
                   "between.",
        .table = option_table,
        .n = HF_ARRAY_LEN(option_table),
};

static const struct hf_print_column columns[] = {
        {"LOCK", "mode"},
        {"PATH", "path"},
};

struct adopt {
        struct adopt_options given;
        struct hf_paths paths;
        struct hf_adopt_daemon daemon;
        const char *holdfastd;
        char virtlockd[PATH_MAX]; /* to go back to */
        struct json_object *findings, *steps;
};

/* ---- what would be done ----------------------------------------------------------------- */

static void __attribute__((format(printf, 2, 3))) step(struct adopt *adopt, const char *format, ...)
{
        char text[HF_ERROR_TEXT_MAX];
        va_list args;

        va_start(args, format);
        (void)vsnprintf(text, sizeof(text), format, args);
        va_end(args);
        (void)json_object_array_add(adopt->steps, hf_print_string(text));
}

static void list_steps_there(struct adopt *adopt)
{
        const struct hf_adopt_daemon *daemon = &adopt->daemon;
        char source[PATH_MAX];

        if (hf_adopt_service() == HF_ADOPT_SERVICE_STOCK && hf_adopt_drop_in_source(source) >= 0) {
                step(adopt,
                     "copy %s to %s, so that the next start of virtlockd.service is "
                     "holdfastd's",
                     source, HF_ADOPT_DROP_IN);
                step(adopt, "systemctl daemon-reload");
        }
        if (hf_adopt_own_server(&adopt->paths) > 0)
                step(adopt, "systemctl stop holdfastd.service holdfastd.socket "
                            "holdfastd-ro.socket: virtlockd.service stands for them");
        step(adopt, "mount a script over %s that executes %s", daemon->program, adopt->holdfastd);
        step(adopt, "when nobody is talking to virtlockd: SIGUSR1 to process %d, which executes it",
             (int)daemon->process.pid);
        step(adopt, "wait until that process is a holdfastd that answers");
        step(adopt, "unmount the script");
        step(adopt, "compare the locks with those of before: %zu", hf_adopt_n_held(daemon));
}

static void list_steps_back(struct adopt *adopt)
{
        step(adopt, "tell holdfastd (process %d) to execute %s", (int)adopt->daemon.process.pid,
             adopt->virtlockd);
        step(adopt, "compare the locks with those of before: %zu", hf_adopt_n_held(&adopt->daemon));
        if (hf_adopt_service() != HF_ADOPT_SERVICE_OURS)
                return;
        step(adopt, "remove %s, so that the next start of virtlockd.service is virtlockd's",
             HF_ADOPT_DROP_IN);
        step(adopt, "systemctl daemon-reload");
}

/* ---- telling ---------------------------------------------------------------------------- */

static struct json_object *report_locks(const struct hf_adopt_daemon *daemon)
{
        struct json_object *locks = json_object_new_array();

        for (size_t i = 0; i < daemon->n_files; i++) {
                const struct hf_adopt_file *file = &daemon->files[i];
                struct json_object *lock = json_object_new_object();

                hf_print_put(lock, "path", hf_print_string(file->path));
                hf_print_put(lock, "held", json_object_new_boolean(file->held));
                hf_print_put(lock, "mode",
                             json_object_new_string(!file->held    ? "none"
                                                    : file->shared ? "shared"
                                                                   : "exclusive"));
                (void)json_object_array_add(locks, lock);
        }
        return locks;
}

static struct json_object *report_daemon(const struct hf_adopt_daemon *daemon)
{
        struct json_object *object = json_object_new_object();
        struct json_object *words = json_object_new_array();

        for (char **word = daemon->argv; *word; word++)
                (void)json_object_array_add(words, hf_print_string(*word));
        hf_print_put(object, "program",
                     json_object_new_string(daemon->ours ? "holdfastd" : "virtlockd"));
        hf_print_put(object, "pid", json_object_new_int(daemon->process.pid));
        hf_print_put(object, "arguments", words);
        hf_print_put(object, "connections", json_object_new_int((int)daemon->n_connections));
        return object;
}

static void tell_findings(struct json_object *findings)
{
        for (size_t i = 0; i < json_object_array_length(findings); i++) {
                struct json_object *finding = json_object_array_get_idx(findings, i);
                bool stops = json_object_get_boolean(json_object_object_get(finding, "stops"));

                hf_message("%s: %s", stops ? "not safe" : "note", hf_print_text(finding, "text"));
        }
}

static void tell_daemon(const struct adopt *adopt, struct json_object *locks)
{
        const struct hf_adopt_daemon *daemon = &adopt->daemon;

        hf_print_line("%s, process %d, locks: %zu, connections: %zu",
                      daemon->ours ? "holdfastd" : "virtlockd", (int)daemon->process.pid,
                      hf_adopt_n_held(daemon), daemon->n_connections);
        if (json_object_array_length(locks) > 0)
                hf_print_table(locks, columns, HF_ARRAY_LEN(columns), NULL);
}

static int show_plan(struct adopt *adopt)
{
        struct json_object *document = hf_print_document("holdfast.adopt");
        struct json_object *locks = report_locks(&adopt->daemon);
        bool safe = !hf_adopt_stops(adopt->findings);

        hf_print_put(document, "back", json_object_new_boolean(adopt->given.back));
        hf_print_put(document, "safe", json_object_new_boolean(safe));
        hf_print_put(document, "daemon", report_daemon(&adopt->daemon));
        hf_print_put(document, "locks", locks);
        hf_print_put(document, "findings", json_object_get(adopt->findings));
        hf_print_put(document, "steps", json_object_get(adopt->steps));
        if (adopt->given.json) {
                hf_print_json(document);
        } else {
                tell_daemon(adopt, locks);
                hf_print_line("It would:");
                for (size_t i = 0; i < json_object_array_length(adopt->steps); i++)
                        hf_print_line(
                                "%zu. %s", i + 1,
                                json_object_get_string(json_object_array_get_idx(adopt->steps, i)));
                hf_print_line("Nothing was changed.%s", safe ? " It can be done." : "");
        }
        (void)json_object_put(document);
        return hf_print_end(safe ? HF_EXIT_OK : HF_EXIT_HELD);
}

/* ---- nothing to change ------------------------------------------------------------------ */

/* What is started next, where nothing has to be changed now. Returns an exit status. */
static int set_service(const struct adopt *adopt)
{
        struct hf_error error = {0};
        int r = adopt->given.back ? hf_adopt_service_remove(&error)
                                  : hf_adopt_service_install(&error);

        if (r >= 0)
                return HF_EXIT_OK;
        hf_message("%s", error.text);
        return HF_EXIT_SYSTEM;
}

/* Our own units make way for virtlockd.service, or are themselves again. */
static int set_own_units(const struct adopt *adopt)
{
        struct hf_error error = {0};
        int r = 0;

        if (adopt->given.back)
                r = hf_adopt_own_start(&error);
        else if (hf_adopt_own_server(&adopt->paths) > 0)
                r = hf_adopt_own_stop(&error);
        if (r >= 0)
                return HF_EXIT_OK;
        hf_message("%s", error.text);
        return HF_EXIT_SYSTEM;
}

static int nobody_serves(const struct adopt *adopt)
{
        bool back = adopt->given.back;
        const char *next = back ? "virtlockd" : "holdfastd";
        struct hf_error error = {0};
        int status = HF_EXIT_OK;

        if (!adopt->given.dry_run && hf_adopt_uncover_here(&error) < 0) {
                hf_message("%s", error.text);
                return HF_EXIT_SYSTEM;
        }
        if (hf_adopt_service() == HF_ADOPT_SERVICE_NONE) {
                hf_message("no lock daemon serves %s: there is nothing to take over. Start %s "
                           "where this host starts virtlockd; see holdfast-adopt(8)",
                           adopt->paths.virtlockd_socket, next);
                return HF_EXIT_NO_DAEMON;
        }
        if (!back)
                hf_adopt_judge_own(&adopt->paths, adopt->findings);
        tell_findings(adopt->findings);
        if (hf_adopt_stops(adopt->findings))
                return HF_EXIT_HELD;
        if (!adopt->given.dry_run)
                status = set_service(adopt);
        if (status == HF_EXIT_OK && !adopt->given.dry_run)
                status = set_own_units(adopt);
        if (status == HF_EXIT_OK)
                hf_print_line("No lock daemon runs. virtlockd.service %s %s when it is started.",
                              adopt->given.dry_run ? "would start" : "starts", next);
        return hf_print_end(status);
}

/* It is done already, or was but for the end of an attempt that was killed. */
static int already(struct adopt *adopt)
{
        struct hf_error error = {0};
        int status = HF_EXIT_OK;

        if (!adopt->given.dry_run) {
                status = set_service(adopt);
                if (hf_adopt_uncover(&adopt->daemon, &error) < 0) {
                        hf_message("%s", error.text);
                        status = HF_EXIT_SYSTEM;
                }
        }
        if (status == HF_EXIT_OK)
                hf_print_line("%s (process %d) serves already: nothing to change.",
                              adopt->daemon.ours ? "holdfastd" : "virtlockd",
                              (int)adopt->daemon.process.pid);
        return hf_print_end(status);
}

/* ---- the change ------------------------------------------------------------------------- */

/* From here on there is an end to come to. */
static void ignore_interruptions(void)
{
        static const int numbers[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE};

        for (size_t i = 0; i < HF_ARRAY_LEN(numbers); i++)
                (void)signal(numbers[i], SIG_IGN);
}

static int judge_back(struct adopt *adopt)
{
        struct holdfast_error error = {0};
        struct hf_error unread = {0};

        if (hf_adopt_read_peers(&adopt->paths, &adopt->daemon, &unread) < 0) {
                hf_message("%s", unread.text);
                return HF_EXIT_SYSTEM;
        }
        if (hf_program_find("virtlockd", adopt->virtlockd) < 0)
                hf_adopt_finding(adopt->findings, true, "virtlockd",
                                 "there is no virtlockd on this host to go back to");
        else if (holdfast_daemon_leave(adopt->virtlockd, HOLDFAST_LEAVE_DRY_RUN, &error) < 0)
                hf_adopt_finding(adopt->findings, true, "holdfastd", "%s", error.text);
        return HF_EXIT_OK;
}

static int judge_there(struct adopt *adopt)
{
        struct hf_error error = {0};
        char source[PATH_MAX];

        if (hf_adopt_read_peers(&adopt->paths, &adopt->daemon, &error) < 0) {
                hf_message("%s", error.text);
                return HF_EXIT_SYSTEM;
        }
        hf_adopt_judge(&adopt->paths, &adopt->daemon, adopt->holdfastd, adopt->findings);
        if (hf_adopt_service() == HF_ADOPT_SERVICE_STOCK &&
            (hf_adopt_drop_in_source(source) < 0 || access(source, R_OK) < 0))
                hf_adopt_finding(adopt->findings, true, "drop-in",
                                 "%s is not there: is Holdfast installed?", source);
        return HF_EXIT_OK;
}

static int make_change(struct adopt *adopt)
{
        struct hf_adopt_daemon *daemon = &adopt->daemon;
        int status;

        if (hf_adopt_stops(adopt->findings)) {
                hf_message("nothing was changed");
                return HF_EXIT_HELD;
        }
        ignore_interruptions();
        status = adopt->given.back ? hf_adopt_go_back(&adopt->paths, daemon, adopt->virtlockd)
                                   : hf_adopt_go(&adopt->paths, daemon, adopt->holdfastd);
        if (status == HF_EXIT_OK)
                hf_print_line("Process %d was %s and is %s now: all its locks (%zu) are held as "
                              "before.",
                              (int)daemon->process.pid, daemon->ours ? "holdfastd" : "virtlockd",
                              daemon->ours ? "virtlockd" : "holdfastd", hf_adopt_n_held(daemon));
        return hf_print_end(status);
}

static int adopt_found(struct adopt *adopt)
{
        int status;

        if (adopt->daemon.ours != adopt->given.back)
                return already(adopt);
        status = adopt->given.back ? judge_back(adopt) : judge_there(adopt);
        if (status != HF_EXIT_OK)
                return status;
        tell_findings(adopt->findings);
        if (!adopt->given.dry_run)
                return make_change(adopt);
        if (adopt->given.back)
                list_steps_back(adopt);
        else
                list_steps_there(adopt);
        return show_plan(adopt);
}

static int adopt_any(struct adopt *adopt)
{
        struct hf_error error = {0};
        int r;

        if (!adopt->given.dry_run)
                hf_adopt_show_socket(&adopt->paths);
        r = hf_adopt_find(&adopt->paths, &adopt->daemon, &error);
        if (r == -ENOENT)
                return nobody_serves(adopt);
        if (r >= 0)
                return adopt_found(adopt);
        hf_message("%s", error.text);
        return HF_EXIT_SYSTEM;
}

/* Returns HF_EXIT_OK to go on. */
static int check_usage(const struct adopt *adopt, bool surplus)
{
        if (surplus) {
                hf_message("adopt takes no arguments; see 'holdfast adopt --help'");
                return HF_EXIT_USAGE;
        }
        if (adopt->given.json && !adopt->given.dry_run) {
                hf_message("--json goes with --dry-run");
                return HF_EXIT_USAGE;
        }
        if (geteuid() != 0) {
                hf_message("only root may turn the host's virtlockd into holdfastd; a virtlockd of "
                           "an ordinary user ends by itself, and holdfastd is started then");
                return HF_EXIT_DENIED;
        }
        if (secure_getenv("HOLDFAST_RUN_DIR")) {
                hf_message("HOLDFAST_RUN_DIR is set: virtlockd's sockets are never there");
                return HF_EXIT_CONFIG;
        }
        return HF_EXIT_OK;
}

/*
 * Two at once would undo what the other one does. What a killed one has left to do is done within
 * milliseconds, and that is waited for. Kept until the end: a descriptor, or -1.
 */
static int be_alone(const struct adopt *adopt, int *ret_status)
{
        hf_cleanup_free char *folder = strdup(adopt->paths.virtlockd_pid_file);
        hf_cleanup_fd int fd = folder ? open(dirname(folder), O_RDONLY | O_DIRECTORY | O_CLOEXEC)
                                      : -1;
        int64_t end = hf_clock_msec(CLOCK_MONOTONIC) + ALONE_MS;

        *ret_status = HF_EXIT_OK;
        while (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK) {
                if (hf_clock_msec(CLOCK_MONOTONIC) > end) {
                        hf_message("another 'holdfast adopt' is under way; try again when it has "
                                   "ended");
                        *ret_status = HF_EXIT_HELD;
                        return -1;
                }
                (void)poll(NULL, 0, LOOK_MS);
        }
        return hf_steal_fd(&fd);
}

int hf_verb_adopt(int argc, char **argv)
{
        struct adopt adopt = {.daemon = HF_ADOPT_DAEMON_INIT, .holdfastd = hf_adopt_holdfastd()};
        struct hf_error error = {0};
        hf_cleanup_fd int lock = -1;
        int first, status;

        if (hf_verb_options(&options, argc, argv, &adopt.given, &adopt.given.standard, &first,
                            &status) < 0)
                return status;
        status = check_usage(&adopt, first < argc);
        if (status != HF_EXIT_OK)
                return status;
        if (hf_paths_init(&adopt.paths, &error) < 0) {
                hf_message("%s", error.text);
                return HF_EXIT_CONFIG;
        }
        adopt.findings = json_object_new_array();
        adopt.steps = json_object_new_array();
        lock = be_alone(&adopt, &status);
        if (status == HF_EXIT_OK)
                status = adopt_any(&adopt);
        (void)json_object_put(adopt.findings);
        (void)json_object_put(adopt.steps);
        hf_adopt_done(&adopt.daemon);
        hf_paths_clear(&adopt.paths);
        return status;
}
