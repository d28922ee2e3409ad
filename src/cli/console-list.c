/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* holdfast console list: which consoles there are, who writes and watches, and where the log is. */

#include "cli/console.h"

#include "cli/message.h"
#include "cli/print.h"

#include "base/cleanup.h"

#include <stdio.h>
#include <string.h>

struct list_options {
        struct hf_standard_options standard;
        bool json, strangers;
};

static const struct hf_option option_table[] = {
        HF_JSON_OPTION(struct list_options),
        {.long_name = "strangers",
         .help = "look now for other programs that have the devices open",
         .kind = HF_OPTION_FLAG,
         .offset = offsetof(struct list_options, strangers)},
        HF_STANDARD_OPTIONS(struct list_options, standard),
};

static const struct hf_options options = {
        .program = "holdfast console list",
        .usage = "[OPTION]...",
        .summary = "Lists the consoles that are held, who writes and watches, and their logs.",
        .table = option_table,
        .n = HF_ARRAY_LEN(option_table),
};

static const struct hf_print_column columns[] = {
        {"CONSOLE", "console"}, {"PID", "pid"},           {"STATE", "state"},
        {"WRITER", "writer"},   {"WATCHERS", "watchers"}, {"SINCE", "since", true},
        {"LOG", "log_path"},
};

static const char *state_name(enum holdfast_console_state state)
{
        switch (state) {
        case HOLDFAST_CONSOLE_HELD:
                return "held";
        case HOLDFAST_CONSOLE_OPENING:
                return "opening";
        case HOLDFAST_CONSOLE_BUSY:
                return "busy";
        case HOLDFAST_CONSOLE_ENDED:
                return "ended";
        }
        return "unknown";
}

static const char *log_name(int state)
{
        static const char *const names[] = {"off", "on", "failing"};

        return state >= 0 && state < (int)HF_ARRAY_LEN(names) ? names[state] : "unknown";
}

static struct json_object *uuid_of(const unsigned char uuid[16])
{
        static const unsigned char none[16];
        char text[37];
        size_t at = 0;

        if (!memcmp(uuid, none, sizeof(none)))
                return NULL;
        for (size_t i = 0; i < 16; i++)
                at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%02x",
                                       i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", uuid[i]);
        return json_object_new_string(text);
}

static struct json_object *client_of(const struct holdfast_console_client *client)
{
        struct json_object *object = json_object_new_object();

        hf_print_put(object, "role", json_object_new_string(client->writer ? "writer" : "watcher"));
        hf_print_put(object, "user", hf_print_string(client->user));
        hf_print_put(object, "uid", json_object_new_int64(client->uid));
        hf_print_put(object, "pid", json_object_new_int64(client->pid));
        hf_print_put(object, "via", hf_print_string(client->via));
        hf_print_put(object, "from", hf_print_string(client->from));
        hf_print_put(object, "since", hf_print_time(client->since));
        hf_print_put(object, "last_input", hf_print_time(client->last_input));
        hf_print_put(object, "behind", json_object_new_uint64(client->behind));
        hf_print_put(object, "skipped", json_object_new_uint64(client->skipped));
        return object;
}

static struct json_object *clients_of(const struct holdfast_console_info *info)
{
        struct json_object *array = json_object_new_array();

        for (size_t i = 0; i < info->n_clients; i++)
                (void)json_object_array_add(array, client_of(&info->clients[i]));
        return array;
}

static struct json_object *strangers_of(const struct holdfast_console_info *info)
{
        struct json_object *array = json_object_new_array();

        for (size_t i = 0; i < info->n_strangers; i++) {
                const struct holdfast_console_stranger *stranger = &info->strangers[i];
                struct json_object *object = json_object_new_object();

                hf_print_put(object, "pid", json_object_new_int64(stranger->pid));
                hf_print_put(object, "uid", json_object_new_int64(stranger->uid));
                hf_print_put(object, "program", hf_print_string(stranger->program));
                hf_print_put(object, "how", hf_print_string(stranger->how));
                (void)json_object_array_add(array, object);
        }
        return array;
}

/* What a person types to get there. */
static struct json_object *name_of(const struct holdfast_console_info *info)
{
        hf_cleanup_free char *name = NULL;

        if (!*info->vm)
                return hf_print_string(info->path);
        if (asprintf(&name, "%s%s%s", info->vm, *info->device ? ":" : "", info->device) < 0)
                name = NULL;
        return hf_print_string(name ? name : info->vm);
}

/* "anna from 10.0.0.5", "-" */
static struct json_object *writer_of(const struct holdfast_console_info *info)
{
        char text[512] = "-";

        for (size_t i = 0; i < info->n_clients; i++)
                if (info->clients[i].writer)
                        (void)snprintf(text, sizeof(text), "%.200s%s%.200s", info->clients[i].user,
                                       *info->clients[i].from ? " from " : "",
                                       info->clients[i].from);
        return hf_print_string(text);
}

static size_t watchers_of(const struct holdfast_console_info *info)
{
        size_t n = info->n_more_clients;

        for (size_t i = 0; i < info->n_clients; i++)
                n += !info->clients[i].writer;
        return n;
}

static int add(void *ctx, const struct holdfast_console_info *info)
{
        struct json_object *consoles = ctx, *object = json_object_new_object();

        hf_print_put(object, "console", name_of(info));
        hf_print_put(object, "id", json_object_new_uint64(info->id));
        hf_print_put(object, "vm", hf_print_string(info->vm));
        hf_print_put(object, "device", hf_print_string(info->device));
        hf_print_put(object, "uuid", uuid_of(info->uuid));
        hf_print_put(object, "pid", json_object_new_int64(info->pid));
        hf_print_put(object, "path", hf_print_string(info->path));
        hf_print_put(object, "state", json_object_new_string(state_name(info->state)));
        hf_print_put(object, "text", hf_print_string(info->text));
        hf_print_put(object, "registered", json_object_new_boolean(info->registered));
        hf_print_put(object, "since", hf_print_time(info->since));
        hf_print_put(object, "printed", json_object_new_uint64(info->head));
        hf_print_put(object, "kept_from", json_object_new_uint64(info->first));
        hf_print_put(object, "written", json_object_new_uint64(info->written));
        hf_print_put(object, "log", json_object_new_string(log_name(info->log_state)));
        hf_print_put(object, "log_path", hf_print_string(info->log));
        hf_print_put(object, "log_text", hf_print_string(info->log_text));
        hf_print_put(object, "writer", writer_of(info));
        hf_print_put(object, "watchers", json_object_new_uint64(watchers_of(info)));
        hf_print_put(object, "clients", clients_of(info));
        hf_print_put(object, "strangers", strangers_of(info));
        return json_object_array_add(consoles, object) < 0 ? -ENOMEM : 0;
}

/* Below the row: what is wrong, and who else is there. */
static void print_details(struct json_object *row)
{
        struct json_object *strangers = json_object_object_get(row, "strangers");

        if (*hf_print_text(row, "text"))
                hf_print_line("    %s", hf_print_text(row, "text"));
        if (*hf_print_text(row, "log_text"))
                hf_print_line("    log: %s", hf_print_text(row, "log_text"));
        for (size_t i = 0; i < json_object_array_length(strangers); i++) {
                struct json_object *one = json_object_array_get_idx(strangers, i);

                hf_print_line("    also has it: %s (pid %lld), %s", hf_print_text(one, "program"),
                              (long long)json_object_get_int64(json_object_object_get(one, "pid")),
                              hf_print_text(one, "how"));
        }
}

int hf_console_verb_list(int argc, char **argv)
{
        struct list_options given = {0};
        struct holdfast_error error = {0};
        struct json_object *document, *consoles;
        int first, status;

        if (hf_verb_options(&options, argc, argv, &given, &given.standard, &first, &status) < 0)
                return status;
        if (first < argc) {
                hf_message("console list takes no arguments; see 'holdfast console list --help'");
                return HF_EXIT_USAGE;
        }
        document = hf_print_document("holdfast.console");
        consoles = json_object_new_array();
        hf_print_put(document, "consoles", consoles);
        if (holdfast_console_list(given.strangers ? HOLDFAST_CONSOLE_LIST_STRANGERS : 0, add,
                                  consoles, &error) < 0) {
                hf_message("%s", error.text);
                (void)json_object_put(document);
                return hf_console_status(&error);
        }
        if (given.json)
                hf_print_json(document);
        else
                hf_print_table(consoles, columns, HF_ARRAY_LEN(columns), print_details);
        (void)json_object_put(document);
        return hf_print_end(HF_EXIT_OK);
}
