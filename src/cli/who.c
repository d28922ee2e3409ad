/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * holdfast who: who holds a disk. First what the daemon knows, then processes
 * that never asked it. The second half works without a daemon, too.
 */

#include "cli/foreign.h"
#include "cli/message.h"
#include "cli/print.h"
#include "cli/report.h"
#include "cli/verb.h"

#include "base/cleanup.h"

#include <string.h>
#include <sys/stat.h>

struct who_options {
        struct hf_standard_options standard;
        bool json;
};

static const struct hf_option option_table[] = {
        {.long_name = "json",
         .help = "print JSON, for programs",
         .kind = HF_OPTION_FLAG,
         .offset = offsetof(struct who_options, json)},
        HF_STANDARD_OPTIONS(struct who_options, standard),
};

static const struct hf_options options = {
        .program = "holdfast who",
        .usage = "[OPTION]... PATH...",
        .summary = "Tells who holds a disk, by whatever name; also who holds it without asking "
                   "Holdfast. Ends with 1 if nobody does.",
        .table = option_table,
        .n = HF_ARRAY_LEN(option_table),
};

static const struct hf_print_column columns[] = {
        {"HOLDER", "name"},       {"PID", "pid"}, {"MODE", "mode"}, {"STATE", "state"},
        {"SINCE", "since", true}, {"VIA", "via"}, {"PATH", "path"},
};

/* One question and its answer so far. */
struct inquiry {
        const char *path;
        struct json_object *holders;
        struct hf_foreign_known known;
        bool daemon; /* answers */
};

static void add_lock(struct inquiry *inquiry, const struct holdfast_lock_info *lock)
{
        struct json_object *object = hf_report_vm(lock->vm);
        struct json_object *details = hf_report_lock(lock);

        hf_print_put(object, "path", hf_print_string(inquiry->path));
        hf_print_put(object, "kind", json_object_new_string("vm"));
        hf_print_put(object, "mode", json_object_new_string(hf_report_mode(lock->shared)));
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
        hf_print_put(object, "name", hf_print_string(user->comm));
        hf_print_put(object, "pid", json_object_new_int(user->pid));
        hf_print_put(object, "mode", json_object_new_string(mode));
        hf_print_put(object, "locks", json_object_new_boolean(user->locks));
        hf_print_put(object, "lock_daemon", json_object_new_boolean(user->our_byte));
        hf_print_put(object, "via", json_object_new_string(hf_foreign_means(user)));
        (void)json_object_array_add(inquiry->holders, object);
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

static int ask_kernel(struct inquiry *inquiry)
{
        struct hf_thing thing;
        struct stat st;
        int r = stat(inquiry->path, &st) < 0 ? -errno : hf_thing_of(&st, &thing);

        if (r < 0) {
                /* What is gone may still be held by its name. */
                if (json_object_array_length(inquiry->holders) > 0)
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

/* Whether a daemon answers; says so if not, and learns its processes. */
static bool meet_daemon(struct hf_foreign_known *known)
{
        struct holdfast_daemon_info *info;
        struct holdfast_error error = {0};

        if (holdfast_get_daemon_info(&info, &error) < 0) {
                hf_message("%s; only what processes show is told", error.text);
                return false;
        }
        (void)hf_foreign_know_daemon(known, info->pid);
        holdfast_daemon_info_free(info);
        return true;
}

static int ask(struct json_object *document, char **paths, int n)
{
        struct inquiry inquiry = {.holders = json_object_new_array()};
        int status = HF_EXIT_OK;

        inquiry.daemon = meet_daemon(&inquiry.known);
        for (int i = 0; i < n && status == HF_EXIT_OK; i++) {
                inquiry.path = paths[i];
                status = ask_daemon(&inquiry);
                if (status == HF_EXIT_OK)
                        status = ask_kernel(&inquiry);
        }
        hf_foreign_forget(&inquiry.known);
        hf_print_put(document, "daemon", json_object_new_boolean(inquiry.daemon));
        hf_print_put(document, "holders", inquiry.holders);
        return status;
}

static int show(struct json_object *document, bool json)
{
        struct json_object *holders = json_object_object_get(document, "holders");
        bool nobody = json_object_array_length(holders) == 0;

        if (json)
                hf_print_json(document);
        else if (nobody)
                printf("nobody\n");
        else
                hf_print_table(holders, columns, HF_ARRAY_LEN(columns), NULL);
        return hf_print_end(nobody ? HF_EXIT_NOBODY : HF_EXIT_OK);
}

int hf_verb_who(int argc, char **argv)
{
        struct who_options given = {0};
        struct json_object *document;
        int first, status;

        if (hf_verb_options(&options, argc, argv, &given, &given.standard, &first, &status) < 0)
                return status;
        if (first == argc) {
                hf_message("who holds what? Name a disk; see 'holdfast who --help'");
                return HF_EXIT_USAGE;
        }
        document = hf_print_document("holdfast.who");
        status = ask(document, argv + first, argc - first);
        if (status == HF_EXIT_OK)
                status = show(document, given.json);
        (void)json_object_put(document);
        return status;
}
