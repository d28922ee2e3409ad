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
        size_t before; /* holders of the paths before this one */
        struct hf_foreign_known known;
        bool daemon; /* answers */
        int silence; /* the status for "nobody" where a daemon that is there does not answer */
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

/*
 * Nobody was found: but somebody may be there whom we may not look at, or who is
 * on another host. The locks on the file tell. Returns an exit status.
 */
static int ask_locks(struct inquiry *inquiry)
{
        const struct hf_plan_image image = {.path = (char *)(uintptr_t)inquiry->path};
        struct json_object *object;
        int r = hf_foreign_opposes(&image, true);

        if (r < 0) {
                hf_message("%s: cannot tell whether anybody else has it: %s", inquiry->path,
                           strerror(-r));
                return r == -EACCES || r == -EPERM ? HF_EXIT_DENIED : HF_EXIT_NO_IMAGE;
        }
        if (r == 0)
                return inquiry->silence;
        object = json_object_new_object();
        hf_print_put(object, "path", hf_print_string(inquiry->path));
        hf_print_put(object, "kind", json_object_new_string("unknown"));
        hf_print_put(object, "name", NULL);
        hf_print_put(object, "via",
                     json_object_new_string("a lock of somebody we may not look at, or on another "
                                            "host"));
        (void)json_object_array_add(inquiry->holders, object);
        return HF_EXIT_OK;
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

        inquiry->path = path;
        inquiry->before = json_object_array_length(inquiry->holders);
        status = ask_daemon(inquiry);
        if (status == HF_EXIT_OK)
                status = ask_kernel(inquiry);
        if (status == HF_EXIT_OK && json_object_array_length(inquiry->holders) == inquiry->before)
                status = ask_locks(inquiry);
        return status;
}

/* Returns the first status that is none of success. */
static int ask(struct json_object *document, char **paths, int n)
{
        struct inquiry inquiry = {.holders = json_object_new_array()};
        int status = HF_EXIT_OK;

        meet_daemon(&inquiry);
        for (int i = 0; i < n; i++) {
                int one = ask_path(&inquiry, paths[i]);

                status = status == HF_EXIT_OK ? one : status;
        }
        hf_foreign_forget(&inquiry.known);
        hf_print_put(document, "daemon", json_object_new_boolean(inquiry.daemon));
        hf_print_put(document, "holders", inquiry.holders);
        return status;
}

/* A status that is none of success stays, and "nobody" is then not said. */
static int show(struct json_object *document, bool json, int status)
{
        struct json_object *holders = json_object_object_get(document, "holders");
        bool nobody = json_object_array_length(holders) == 0;

        if (nobody && status != HF_EXIT_OK)
                return status;
        if (json)
                hf_print_json(document);
        else if (nobody)
                printf("nobody\n");
        else
                hf_print_table(holders, columns, HF_ARRAY_LEN(columns), NULL);
        return hf_print_end(nobody ? HF_EXIT_NOBODY : status);
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
        status = show(document, given.json, ask(document, argv + first, argc - first));
        (void)json_object_put(document);
        return status;
}
