/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * holdfast label: images whose owner or label is that of their VMs.
 *
 *     label list                what is labelled, what it was before, and who uses it
 *     label repair [PATH]...    strikes users that are gone; images without users get back
 *                               what they had
 */

#include "cli/lookaside.h"
#include "cli/message.h"
#include "cli/print.h"
#include "cli/relabel.h"
#include "cli/verb.h"
#include "vm/resources.h"

#include "base/cleanup.h"

#include <string.h>
#include <sys/stat.h>

struct label_options {
        struct hf_standard_options standard;
        const char *host_gone;
        bool json, forget;
};

static const struct hf_option list_table[] = {
        HF_JSON_OPTION(struct label_options),
        HF_STANDARD_OPTIONS(struct label_options, standard),
};

static const struct hf_option repair_table[] = {
        {.long_name = "host-gone",
         .argument = "HOST",
         .help = "count users on that host (its name or machine id) as gone: only when its VMs "
                 "certainly run no more",
         .kind = HF_OPTION_STRING,
         .offset = offsetof(struct label_options, host_gone)},
        {.long_name = "forget",
         .help = "remove the records of each PATH, whoever uses it, and leave its labels as they "
                 "are",
         .kind = HF_OPTION_FLAG,
         .offset = offsetof(struct label_options, forget)},
        HF_JSON_OPTION(struct label_options),
        HF_STANDARD_OPTIONS(struct label_options, standard),
};

static const struct hf_options list_options = {
        .program = "holdfast label list",
        .usage = "[OPTION]...",
        .summary = "Lists images that have been given an owner or a label for their VMs.",
        .table = list_table,
        .n = HF_ARRAY_LEN(list_table),
};

static const struct hf_options repair_options = {
        .program = "holdfast label repair",
        .usage = "[OPTION]... [PATH]...",
        .summary = "Gives images of VMs that are gone back what they had. Without a PATH: all.",
        .table = repair_table,
        .n = HF_ARRAY_LEN(repair_table),
};

/* ---- in words and in JSON ---- */

static const char *life_name(enum hf_label_life life)
{
        return life == HF_LABEL_ALIVE ? "running" : life == HF_LABEL_DEAD ? "gone" : "elsewhere";
}

static struct json_object *user_of(const struct hf_label_scene *scene,
                                   const struct hf_label_user *user)
{
        struct json_object *object = json_object_new_object();
        char uuid[HF_VM_UUID_TEXT];

        hf_print_put(object, "name", hf_print_string(user->name));
        hf_print_put(object, "uuid", json_object_new_string(hf_vm_uuid_format(user->uuid, uuid)));
        hf_print_put(object, "pid", json_object_new_int(user->pid));
        hf_print_put(object, "host", hf_print_string(user->host));
        hf_print_put(object, "machine",
                     json_object_new_string(hf_vm_uuid_format(user->machine, uuid)));
        hf_print_put(object, "state",
                     json_object_new_string(life_name(hf_label_life_of(scene, user))));
        return object;
}

static void put_record(struct json_object *object, const struct hf_label_scene *scene,
                       const struct hf_label_record *record)
{
        struct json_object *users = json_object_new_array();

        hf_print_put(object, "original", hf_print_string(record->original));
        hf_print_put(object, "wanted", hf_print_string(record->wanted));
        hf_print_put(
                object, "place",
                json_object_new_string(record->place == HF_LABEL_TABLE ? "table" : "attribute"));
        for (size_t i = 0; i < record->n_users; i++)
                (void)json_object_array_add(users, user_of(scene, &record->users[i]));
        hf_print_put(object, "users", users);
}

/* ---- list ---- */

static const struct hf_print_column list_columns[] = {
        {"IMAGE", "path"},      {"KIND", "kind"},   {"NOW", "now"},
        {"BEFORE", "original"}, {"STATE", "state"}, {"USERS", "users"},
};

static void print_users(struct json_object *row)
{
        struct json_object *users = json_object_object_get(row, "users");

        for (size_t i = 0; users && i < json_object_array_length(users); i++) {
                struct json_object *user = json_object_array_get_idx(users, i);

                hf_print_line("  %-9s  %s (pid %s, host %s)", hf_print_text(user, "state"),
                              hf_print_text(user, "name"), hf_print_text(user, "pid"),
                              hf_print_text(user, "host"));
        }
}

/* NULL: nothing is labelled any more. */
static struct json_object *row_of(const struct hf_label_scene *scene,
                                  const struct hf_table_entry *entry)
{
        hf_cleanup_label_record struct hf_label_record record = {0};
        struct json_object *object;
        char now[HF_LABEL_TEXT_MAX];
        int r = hf_label_show(scene, entry, &record, now);

        /* What is not there any more is still what the table knows, if that is all there is. */
        if (r == 0 && entry->record.place == HF_LABEL_ATTRIBUTE &&
            access(entry->record.path, F_OK) == 0)
                return NULL;
        object = json_object_new_object();
        hf_print_put(object, "path",
                     hf_print_string(entry->damaged ? entry->name : entry->record.path));
        hf_print_put(object, "kind",
                     json_object_new_string(entry->damaged ? strrchr(entry->name, '.') + 1
                                                           : entry->record.kind));
        hf_print_put(object, "state",
                     json_object_new_string(r > 0    ? "labelled"
                                            : r == 0 ? "missing"
                                                     : "damaged"));
        hf_print_put(object, "now", r > 0 && *now ? hf_print_string(now) : NULL);
        if (r >= 0)
                put_record(object, scene, r > 0 ? &record : &entry->record);
        return object;
}

static int list_all(const struct hf_label_scene *scene, bool json)
{
        hf_cleanup_table_list struct hf_table_list list = {0};
        struct json_object *document, *rows;
        struct hf_error error = {0};
        int r = hf_table_list(scene->table_dir, &list, &error);

        if (r < 0) {
                hf_message("%s", error.text);
                return hf_relabel_status(r);
        }
        document = hf_print_document("holdfast.label.list");
        rows = json_object_new_array();
        for (size_t i = 0; i < list.n; i++) {
                struct json_object *row = row_of(scene, &list.entries[i]);

                if (row)
                        (void)json_object_array_add(rows, row);
        }
        hf_print_put(document, "labels", rows);
        if (json)
                hf_print_json(document);
        else
                hf_print_table(rows, list_columns, HF_ARRAY_LEN(list_columns), print_users);
        (void)json_object_put(document);
        return hf_print_end(HF_EXIT_OK);
}

/* ---- repair ---- */

struct repair {
        struct hf_label_scene scene;
        struct json_object *rows;
        unsigned int told; /* of so many records */
        bool json, failed;
};

static void print_told(const struct hf_label_told *told)
{
        const char *noun = told->kind->noun, *path = told->path;

        switch (told->outcome) {
        case HF_LABEL_GIVEN_BACK:
                hf_print_line("%s: %s %s again", path, noun, told->record->original);
                break;
        case HF_LABEL_FORGOTTEN:
                hf_print_line("%s: %s %s, as it was", path, noun, told->record->original);
                break;
        case HF_LABEL_FOREIGN:
                hf_print_line("%s: its %s was changed by somebody else, and stays", path, noun);
                break;
        case HF_LABEL_GONE:
                hf_print_line("%s: this image is no more; its record went", path);
                break;
        case HF_LABEL_IN_USE:
                hf_print_line("%s: %s %s, in use by %zu%s", path, noun, told->record->wanted,
                              told->record->n_users, told->struck ? ", others are gone" : "");
                break;
        default:
                hf_message("%s", told->error ? told->error->text : path);
        }
}

static void tell(void *ctx, const struct hf_label_told *told)
{
        struct repair *repair = ctx;
        struct json_object *object;

        repair->failed |= told->error != NULL;
        repair->told++;
        if (!repair->json) {
                print_told(told);
                return;
        }
        object = json_object_new_object();
        hf_print_put(object, "path", hf_print_string(told->path));
        hf_print_put(object, "kind", json_object_new_string(told->kind->name));
        hf_print_put(object, "outcome",
                     json_object_new_string(hf_label_outcome_name(told->outcome)));
        hf_print_put(object, "struck", json_object_new_int64((int64_t)told->struck));
        hf_print_put(object, "error", told->error ? hf_print_string(told->error->text) : NULL);
        if (told->record)
                put_record(object, &repair->scene, told->record);
        (void)json_object_array_add(repair->rows, object);
}

/* An exit status. */
static int repair_path(struct repair *repair, const char *given, bool forget)
{
        hf_cleanup_free char *path = hf_lookaside_absolute(given);
        const char *paths[] = {path};
        unsigned int told = repair->told;
        struct hf_error error = {0};
        int missing, r = 0;
        struct stat st;

        if (!path) {
                hf_message("cannot tell where %s is: %s", given, strerror(errno));
                return HF_EXIT_SYSTEM;
        }
        missing = stat(path, &st) < 0 ? errno : 0;
        if (forget)
                r = hf_label_drop(&repair->scene, path, &error);
        else if (!missing)
                r = hf_label_settle(&repair->scene, path, tell, repair, &error);
        if (r >= 0 && !forget)
                r = hf_label_settle_absent(&repair->scene, paths, 1, tell, repair, &error);
        if (r < 0) {
                hf_message("%s", error.text);
                return hf_relabel_status(r);
        }
        if (!missing || forget || repair->told > told)
                return HF_EXIT_OK;
        hf_message("%s: %s, and nothing is known of an image that was there", given,
                   strerror(missing));
        return HF_EXIT_NO_IMAGE;
}

/* The first fault decides; what is behind it is repaired all the same. */
static int repair_all(struct repair *repair, char **paths, bool forget)
{
        struct hf_error error = {0};
        int status = HF_EXIT_OK, r = 0;

        for (size_t i = 0; paths[i]; i++) {
                int one = repair_path(repair, paths[i], forget);

                status = status == HF_EXIT_OK ? one : status;
        }
        if (!paths[0])
                r = hf_label_settle_all(&repair->scene, tell, repair, &error);
        if (r < 0) {
                hf_message("%s", error.text);
                status = hf_relabel_status(r);
        }
        return status == HF_EXIT_OK && repair->failed ? HF_EXIT_SYSTEM : status;
}

static int repair_and_show(struct repair *repair, char **paths, bool forget)
{
        struct json_object *document = hf_print_document("holdfast.label.repair");
        int status;

        repair->rows = json_object_new_array();
        status = repair_all(repair, paths, forget);
        hf_print_put(document, "labels", repair->rows);
        if (repair->json)
                hf_print_json(document);
        (void)json_object_put(document);
        return hf_print_end(status);
}

/* ---- the verb ---- */

static int run(const struct hf_options *options, bool repairs, int argc, char **argv)
{
        hf_cleanup_label_scene struct hf_label_scene scene = {0};
        struct label_options given = {0};
        struct hf_label_host host = hf_relabel_host();
        struct hf_error error = {0};
        struct repair repair;
        int first, status, r;

        if (hf_verb_options(options, argc, argv, &given, &given.standard, &first, &status) < 0)
                return status;
        if (!repairs && first < argc) {
                hf_message("label list takes no arguments; see 'holdfast label list --help'");
                return HF_EXIT_USAGE;
        }
        if (given.forget && first == argc) {
                hf_message("--forget needs a PATH; see 'holdfast label repair --help'");
                return HF_EXIT_USAGE;
        }
        if (geteuid() != 0) {
                hf_message("%s needs root, who alone sees and changes these records",
                           options->program);
                return HF_EXIT_DENIED;
        }
        r = hf_label_scene_init(&host, &scene, &error);
        if (r < 0) {
                hf_message("%s", error.text);
                return hf_relabel_status(r);
        }
        if (!repairs)
                return list_all(&scene, given.json);
        repair = (struct repair){.scene = scene, .json = given.json};
        repair.scene.gone_host = given.host_gone;
        return repair_and_show(&repair, argv + first, given.forget);
}

int hf_verb_label(int argc, char **argv)
{
        if (argc > 1 && !strcmp(argv[1], "list"))
                return run(&list_options, false, argc - 1, argv + 1);
        if (argc > 1 && !strcmp(argv[1], "repair"))
                return run(&repair_options, true, argc - 1, argv + 1);
        if (argc > 1 && (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"))) {
                printf("Usage: holdfast label list [OPTION]...\n"
                       "       holdfast label repair [OPTION]... [PATH]...\n"
                       "Owners and labels that images have while their VMs run.\n"
                       "\"holdfast label list --help\" and \"holdfast label repair --help\" tell "
                       "more.\n");
                return hf_print_end(HF_EXIT_OK);
        }
        hf_message("label what? 'holdfast label list' or 'holdfast label repair'");
        return HF_EXIT_USAGE;
}
