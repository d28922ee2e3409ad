/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * holdfast sanlock cleanup: removes leases of disks that were not used for long.
 */

#include "base/cleanup.h"
#include "cli/message.h"
#include "cli/print.h"
#include "sanlock/sweep.h"
#include "sanlock/tool.h"

/*
 * A lease that is made anew begins again at version 0. A VM that was paused so long, and whose
 * version was noted, would not be told from others by a version that has come round to the same.
 */
#define OLDER_THAN_DAYS 7
#define DAY_S           86400

static const struct hf_option option_table[] = {
        {.long_name = "older-than",
         .argument = "DAYS",
         .help = "not used for so long (default 7)",
         .kind = HF_OPTION_INT,
         .offset = offsetof(struct hf_tool_options, older_than),
         .max = INT_MAX / DAY_S},
        {.long_name = "dry-run",
         .help = "only tell what would be removed",
         .kind = HF_OPTION_FLAG,
         .offset = offsetof(struct hf_tool_options, dry_run)},
        HF_JSON_OPTION(struct hf_tool_options),
        HF_TOOL_CONFIG,
        HF_STANDARD_OPTIONS(struct hf_tool_options, standard),
};

static const struct hf_options options = {
        .program = "holdfast sanlock cleanup",
        .usage = "[OPTION]...",
        .summary = "Removes from disk_lease_dir the leases of disks that no host holds and that "
                   "were not used for some days. A VM that needs one again gets a new one.",
        .table = option_table,
        .n = HF_ARRAY_LEN(option_table),
};

struct count {
        struct json_object *rows;
        size_t of[HF_SWEEP_OUTCOMES];
        bool json;
};

static const char *const outcome_names[] = {
        [HF_SWEEP_REMOVED] = "removed",    [HF_SWEEP_WOULD_REMOVE] = "would be removed",
        [HF_SWEEP_FINISHED] = "removed",   [HF_SWEEP_LEFTOVER] = "removed",
        [HF_SWEEP_IN_USE] = "in use",      [HF_SWEEP_YOUNG] = "used lately",
        [HF_SWEEP_FAILED] = "not removed",
};

static void tell(void *ctx, enum hf_sweep_outcome outcome, const char *path, const char *why)
{
        struct json_object *object = json_object_new_object();
        struct count *count = ctx;

        count->of[outcome]++;
        hf_print_put(object, "path", hf_print_string(path));
        hf_print_put(object, "outcome", json_object_new_string(outcome_names[outcome]));
        hf_print_put(object, "error", *why ? hf_print_string(why) : NULL);
        (void)json_object_array_add(count->rows, object);
        if (*why)
                hf_message("%s", why);
        else if (!count->json && outcome != HF_SWEEP_YOUNG && outcome != HF_SWEEP_IN_USE)
                hf_print_line("%s: %s", path, outcome_names[outcome]);
}

static void show(const struct count *count, bool dry)
{
        struct json_object *document;
        size_t gone = count->of[HF_SWEEP_REMOVED] + count->of[HF_SWEEP_FINISHED] +
                      count->of[HF_SWEEP_LEFTOVER] + count->of[HF_SWEEP_WOULD_REMOVE];

        if (!count->json) {
                hf_print_line("%zu %s, %zu in use, %zu used lately", gone,
                              dry ? "would be removed" : "removed", count->of[HF_SWEEP_IN_USE],
                              count->of[HF_SWEEP_YOUNG]);
                return;
        }
        document = hf_print_document("holdfast.sanlock.cleanup");
        hf_print_put(document, "dry_run", json_object_new_boolean(dry));
        hf_print_put(document, "leases", json_object_get(count->rows));
        hf_print_json(document);
        (void)json_object_put(document);
}

int hf_sanlock_verb_cleanup(int argc, char **argv)
{
        struct hf_tool_options given = {.older_than = OLDER_THAN_DAYS};
        hf_cleanup_tool struct hf_tool tool = {0};
        struct hf_lock_error err = {.size = sizeof(err)};
        struct count count = {0};
        struct hf_sweep sweep;
        int first, status;

        if (hf_tool_begin(&options, argc, argv, &given, &tool, &first, &status) < 0)
                return status;
        if (first < argc)
                return hf_tool_no_arguments(&options);
        if (!hf_tool_has_daemon())
                return HF_EXIT_NO_DAEMON;
        count = (struct count){.rows = json_object_new_array(), .json = given.json};
        sweep = (struct hf_sweep){
                .paths = &tool.paths,
                .settings = &tool.settings,
                .older_than_s = (uint64_t)given.older_than * DAY_S,
                .dry = given.dry_run,
                .tell = tell,
                .ctx = &count,
        };
        status = hf_sweep(&sweep, &err) < 0 ? hf_tool_fail(&err) : HF_EXIT_OK;
        if (status == HF_EXIT_OK) {
                show(&count, given.dry_run);
                status = count.of[HF_SWEEP_FAILED] ? HF_EXIT_SYSTEM : HF_EXIT_OK;
        }
        (void)json_object_put(count.rows);
        return hf_print_end(status);
}
