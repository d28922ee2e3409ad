/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * holdfast who: who holds a disk. First what the daemon knows, then processes
 * that never asked it. The second half works without a daemon, too.
 */

#include "cli/foreign.h"
#include "cli/look.h"
#include "cli/lookaside.h"
#include "cli/message.h"
#include "cli/patience.h"
#include "cli/print.h"
#include "cli/reach.h"
#include "cli/report.h"
#include "cli/verb.h"
#include "cli/waiters.h"

#include "base/cleanup.h"
#include "storage/resource.h"

#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

struct who_options {
        struct hf_standard_options standard;
        bool json;
};

static const struct hf_option option_table[] = {
        HF_JSON_OPTION(struct who_options),
        HF_STANDARD_OPTIONS(struct who_options, standard),
};

static const struct hf_options options = {
        .program = "holdfast who",
        .usage = "[OPTION]... PATH...",
        .summary = "Tells who holds a disk, by whatever name; also who holds it without asking "
                   "Holdfast, on this host or another. Ends with 1 if nobody does.",
        .table = option_table,
        .n = HF_ARRAY_LEN(option_table),
};

static const struct hf_print_column columns[] = {
        {"HOLDER", "name"}, {"PID", "pid"},           {"HOST", "host"}, {"MODE", "mode"},
        {"STATE", "state"}, {"SINCE", "since", true}, {"VIA", "via"},   {"GUARANTEE", "guarantee"},
        {"PATH", "path"},
};

/* One question and its answer so far. */
struct inquiry {
        const char *path;
        struct json_object *holders;
        struct json_object *waiters;
        size_t before; /* holders of the paths before this one */
        size_t past;   /* rows that tell of somebody who does not hold the disk */
        struct hf_foreign_known known;
        bool daemon; /* answers */
        bool driver; /* the settings have one that can be asked */
        char host[HOST_NAME_MAX + 1];
        int silence; /* the status for "nobody" where a daemon that is there does not answer */
};

static void add_lock(struct inquiry *inquiry, const struct holdfast_lock_info *lock)
{
        struct json_object *object = hf_report_vm(lock->vm);
        struct json_object *details = hf_report_lock(lock);
        const char *mode = lock->metadata ? "metadata" : hf_report_mode(lock->shared);

        /* Who changes its owner or its labels keeps nobody from the disk. */
        inquiry->past += lock->metadata;
        hf_print_put(object, "path", hf_print_string(inquiry->path));
        hf_print_put(object, "kind", json_object_new_string(lock->vm->client ? "client" : "vm"));
        hf_print_put(object, "host", hf_print_string(inquiry->host));
        hf_print_put(object, "guarantee",
                     json_object_new_string(holdfast_guarantee_name(lock->guarantee)));
        hf_print_put(object, "mode", json_object_new_string(mode));
        hf_print_put(object, "since", hf_print_time(lock->since));
        hf_print_put(object, "lock", details);
        hf_print_put(object, "carriers", hf_report_carriers(lock->vm, &inquiry->known));
        (void)hf_foreign_know(&inquiry->known, lock->vm->pid);
        (void)json_object_array_add(inquiry->holders, object);
}

static void add_foreign(const struct hf_user *user, void *context)
{
        struct inquiry *inquiry = context;
        struct json_object *object = json_object_new_object();
        const char *mode = user->writes ? "writing" : "reading";

        hf_print_put(object, "path", hf_print_string(inquiry->path));
        hf_print_put(object, "kind", json_object_new_string("process"));
        hf_print_put(object, "host", hf_print_string(inquiry->host));
        hf_print_put(object, "name", hf_print_string(user->comm));
        hf_print_put(object, "pid", json_object_new_int(user->pid));
        hf_print_put(object, "mode", json_object_new_string(mode));
        hf_print_put(object, "locks", json_object_new_boolean(user->locks));
        hf_print_put(object, "lock_daemon", json_object_new_boolean(user->our_byte));
        hf_print_put(object, "via", json_object_new_string(hf_foreign_means(user)));
        (void)json_object_array_add(inquiry->holders, object);
}

static void add_record(struct inquiry *inquiry, const struct hf_record *record, bool held)
{
        struct json_object *object = hf_reach_report(record);
        const char *state = held ? "on another host" : "last holder";

        hf_print_put(object, "path", hf_print_string(inquiry->path));
        hf_print_put(object, "kind", json_object_new_string(held ? "elsewhere" : "last"));
        hf_print_put(object, "mode", json_object_new_string(hf_report_mode(record->shared)));
        hf_print_put(object, "state", json_object_new_string(state));
        (void)json_object_array_add(inquiry->holders, object);
        inquiry->past += !held;
}

static void add_unknown(struct inquiry *inquiry, bool on_cluster)
{
        struct json_object *object = json_object_new_object();
        const char *via = on_cluster ? "a lock of somebody on another host (a virtlockd?), or of "
                                       "one we may not look at"
                                     : "a lock of somebody we may not look at, or on another host";

        hf_print_put(object, "path", hf_print_string(inquiry->path));
        hf_print_put(object, "kind", json_object_new_string("unknown"));
        hf_print_put(object, "name", NULL);
        hf_print_put(object, "via", json_object_new_string(via));
        (void)json_object_array_add(inquiry->holders, object);
}

/*
 * Asks a file that carries locks: the image itself, or what stands for it in a lockspace.
 * held: somebody opposes, and a record may tell who; else it may tell of the last one.
 */
static void ask_file(struct inquiry *inquiry, const char *file, bool held)
{
        struct hf_guarantee_of guarantee = {0};
        enum hf_record_verdict verdict = HF_RECORD_UNKNOWN;
        struct hf_record record;
        struct hf_thing thing;
        size_t n;

        if (hf_resource_identify(file, &thing) >= 0)
                hf_reach_of(file, &thing, &guarantee);
        (void)hf_record_look(file, &record, &verdict);
        /* That a host locks this disk elsewhere tells of no lock here. */
        if (verdict == HF_RECORD_LAST && hf_lookaside_is_word(file, &record))
                verdict = HF_RECORD_FREE;
        if (verdict == HF_RECORD_HELD && hf_lookaside_is_word(file, &record))
                verdict = HF_RECORD_UNKNOWN;
        if (verdict == (held ? HF_RECORD_HELD : HF_RECORD_LAST))
                add_record(inquiry, &record, held);
        else if (held)
                add_unknown(inquiry, guarantee.level == HF_LEVEL_CLUSTER_ADVISORY);
        n = json_object_array_length(inquiry->holders);
        if (n > inquiry->before)
                hf_reach_put(json_object_array_get_idx(inquiry->holders, n - 1), &guarantee);
}

static int cannot_tell(const struct inquiry *inquiry, int r)
{
        hf_message("%s: cannot tell whether anybody else has it: %s", inquiry->path, strerror(-r));
        return r == -EACCES || r == -EPERM ? HF_EXIT_DENIED : HF_EXIT_NO_IMAGE;
}

/*
 * The file that stands for the disk in a lockspace, where there is one: other lock daemons
 * of this host have it open, those of other hosts have it locked. *ret_found tells whether somebody
 * has or had it. Returns an exit status.
 */
static int ask_stand_in(struct inquiry *inquiry, bool *ret_found)
{
        hf_cleanup_lookaside struct hf_lookaside lookaside = {0};
        hf_cleanup_fd int fd = -1;
        struct hf_error error = {0};
        struct hf_thing thing;
        int r = hf_lookaside_of(inquiry->path, &lookaside, &error);

        *ret_found = false;
        if (r < 0) {
                hf_message("%s: cannot tell where it is locked: %s", inquiry->path, error.text);
                return r == -EINVAL ? HF_EXIT_CONFIG : HF_EXIT_SYSTEM;
        }
        r = lookaside.file ? hf_resource_identify(lookaside.file, &thing) : -ENOENT;
        if (r < 0)
                return r == -ENOENT ? HF_EXIT_OK : cannot_tell(inquiry, r);
        (void)hf_foreign_find(&thing, &inquiry->known, add_foreign, inquiry);
        if (json_object_array_length(inquiry->holders) == inquiry->before) {
                fd = open(lookaside.file, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
                if (fd < 0)
                        return cannot_tell(inquiry, -errno);
                ask_file(inquiry, lookaside.file,
                         hf_foreign_is_locked(fd, F_WRLCK, HF_DAEMON_BYTE));
        }
        *ret_found = json_object_array_length(inquiry->holders) > inquiry->before;
        return HF_EXIT_OK;
}

/*
 * Nobody was found: but somebody may be there whom we may not look at, or who is
 * on another host. The locks on the file tell. Returns an exit status.
 */
static int ask_locks(struct inquiry *inquiry)
{
        const struct hf_plan_image image = {.path = (char *)(uintptr_t)inquiry->path};
        int r = hf_foreign_opposes(&image, true), status = HF_EXIT_OK;
        bool found = false;

        if (r < 0)
                return cannot_tell(inquiry, r);
        if (r == 0)
                status = ask_stand_in(inquiry, &found);
        if (found || status != HF_EXIT_OK)
                return status;
        ask_file(inquiry, inquiry->path, r > 0);
        return r == 0 ? inquiry->silence : HF_EXIT_OK;
}

/* Returns an exit status; what the daemon does not know is no fault. */
static int ask_daemon(struct inquiry *inquiry)
{
        struct holdfast_lock_list *list;
        struct holdfast_error error = {0};

        if (!inquiry->daemon)
                return HF_EXIT_OK;
        if (holdfast_who(inquiry->path, 0, &list, &error) < 0) {
                hf_message("%s", error.text);
                return hf_message_status(&error);
        }
        for (size_t i = 0; i < list->n; i++)
                add_lock(inquiry, list->locks[i]);
        holdfast_lock_list_free(list);
        return HF_EXIT_OK;
}

/* Those in line behind the holders. */
static void ask_for_waiters(struct inquiry *inquiry, const struct hf_thing *thing)
{
        struct json_object *found;

        if (!inquiry->daemon)
                return;
        found = hf_waiters_of(inquiry->path, thing);
        for (size_t i = 0; i < json_object_array_length(found); i++) {
                struct json_object *waiter = json_object_get(json_object_array_get_idx(found, i));

                hf_print_put(waiter, "path", hf_print_string(inquiry->path));
                hf_print_put(waiter, "host", hf_print_string(inquiry->host));
                (void)json_object_array_add(inquiry->waiters, waiter);
        }
        (void)json_object_put(found);
}

/* What the lock driver of the settings knows. One that cannot be asked knows of nothing. */
static void ask_driver(struct inquiry *inquiry)
{
        struct holdfast_holder first;
        struct holdfast_error error = {0};
        int r = hf_look_at_disk(inquiry->path, inquiry->holders, &first, &error);

        if (r < 0 && r != -EOPNOTSUPP) {
                hf_message("%s", error.text);
                inquiry->silence = hf_message_status(&error);
        }
        for (size_t i = inquiry->before; i < json_object_array_length(inquiry->holders); i++) {
                struct json_object *holder = json_object_array_get_idx(inquiry->holders, i);

                hf_print_put(holder, "path", hf_print_string(inquiry->path));
                (void)hf_foreign_know(&inquiry->known, hf_report_pid(holder));
        }
}

static int ask_kernel(struct inquiry *inquiry)
{
        struct hf_thing thing = {0};
        struct stat st;
        int r = stat(inquiry->path, &st) < 0 ? -errno : hf_thing_of(&st, &thing);

        ask_for_waiters(inquiry, &thing);

        if (r < 0) {
                /* What is gone may still be held by its name. */
                if (json_object_array_length(inquiry->holders) > inquiry->before)
                        return HF_EXIT_OK;
                hf_message("%s: %s", inquiry->path, strerror(-r));
                return r == -EACCES ? HF_EXIT_DENIED : HF_EXIT_NO_IMAGE;
        }
        r = hf_foreign_find(&thing, &inquiry->known, add_foreign, inquiry);
        if (r < 0) {
                hf_message("cannot look at processes: %s", strerror(-r));
                return HF_EXIT_SYSTEM;
        }
        return HF_EXIT_OK;
}

/* Learns whether a daemon answers, and its processes; says so if it does not. */
static void meet_daemon(struct inquiry *inquiry)
{
        struct holdfast_daemon_info *info;
        struct holdfast_error error = {0};

        if (holdfast_get_daemon_info(&info, &error) < 0) {
                if (!inquiry->driver)
                        hf_message("%s; only what processes show is told", error.text);
                /* Where no daemon is, none has a lock; the locks of a stock one show. */
                if (error.code != HOLDFAST_E_NO_DAEMON && error.code != HOLDFAST_E_UNSUPPORTED)
                        inquiry->silence = hf_message_status(&error);
                return;
        }
        (void)hf_foreign_know_daemon(&inquiry->known, info->pid);
        holdfast_daemon_info_free(info);
        inquiry->daemon = true;
}

/* Returns an exit status. */
static int ask_path(struct inquiry *inquiry, const char *path)
{
        int status;

        hf_patience_begin(path);
        inquiry->path = path;
        inquiry->before = json_object_array_length(inquiry->holders);
        if (inquiry->driver)
                ask_driver(inquiry);
        status = ask_daemon(inquiry);
        if (status == HF_EXIT_OK)
                status = ask_kernel(inquiry);
        if (status == HF_EXIT_OK && json_object_array_length(inquiry->holders) == inquiry->before)
                status = ask_locks(inquiry);
        hf_patience_end();
        return status;
}

/* Returns the first status that is none of success. */
static int ask(struct json_object *document, char **paths, int n, bool *ret_nobody)
{
        struct inquiry inquiry = {.holders = json_object_new_array(),
                                  .waiters = json_object_new_array()};
        int status = HF_EXIT_OK;

        (void)gethostname(inquiry.host, sizeof(inquiry.host) - 1);
        inquiry.driver = hf_look_has_driver();
        meet_daemon(&inquiry);
        for (int i = 0; i < n; i++) {
                int one = ask_path(&inquiry, paths[i]);

                status = status == HF_EXIT_OK ? one : status;
        }
        hf_foreign_forget(&inquiry.known);
        hf_print_put(document, "daemon", json_object_new_boolean(inquiry.daemon));
        hf_print_put(document, "holders", inquiry.holders);
        hf_print_put(document, "waiters", inquiry.waiters);
        *ret_nobody = json_object_array_length(inquiry.holders) == inquiry.past;
        return status;
}

/* Holders, and behind them who waits for them. */
static void show_table(struct json_object *document)
{
        static const char *const parts[] = {"holders", "waiters"};
        struct json_object *rows = json_object_new_array();

        for (size_t i = 0; i < HF_ARRAY_LEN(parts); i++) {
                struct json_object *part = json_object_object_get(document, parts[i]);

                for (size_t j = 0; j < json_object_array_length(part); j++)
                        (void)json_object_array_add(
                                rows, json_object_get(json_object_array_get_idx(part, j)));
        }
        if (json_object_array_length(rows) == 0)
                printf("nobody\n");
        else
                hf_print_table(rows, columns, HF_ARRAY_LEN(columns), NULL);
        (void)json_object_put(rows);
}

/* A status that is none of success stays, and "nobody" is then not said. */
static int show(struct json_object *document, bool json, bool nobody, int status)
{
        if (nobody && status != HF_EXIT_OK)
                return status;
        if (json)
                hf_print_json(document);
        else
                show_table(document);
        return hf_print_end(nobody ? HF_EXIT_NOBODY : status);
}

static int who(int argc, char **argv)
{
        struct who_options given = {0};
        struct json_object *document;
        int first, status;
        bool nobody;

        if (hf_verb_options(&options, argc, argv, &given, &given.standard, &first, &status) < 0)
                return status;
        if (first == argc) {
                hf_message("who holds what? Name a disk; see 'holdfast who --help'");
                return HF_EXIT_USAGE;
        }
        document = hf_print_document("holdfast.who");
        status = ask(document, argv + first, argc - first, &nobody);
        status = show(document, given.json, nobody, status);
        (void)json_object_put(document);
        return status;
}

int hf_verb_who(int argc, char **argv)
{
        return hf_patience(who, argc, argv);
}
