/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What verbs of `holdfast sanlock` have in common that are about a lockspace.
 */

#include "base/options.h"
#include "cli/verb.h"
#include "driver/sanlock/lockspace.h"
#include "sanlock/verbs.h"

#include <json-c/json.h>
#include <stdbool.h>

/* Status of `status` when something is wrong; the same number as "nobody". */
#define HF_TOOL_TROUBLE 1

struct hf_tool_options {
        struct hf_standard_options standard;
        const char *config;
        const char *lockspace, *path;
        int offset;
        int host_id, io_timeout;
        int wait_s; /* -1: for as long as it takes */
        int older_than;
        bool json, dry_run;
};

/* Rows of the table of a verb that is about one lockspace. */
#define HF_TOOL_CONFIG                                                                             \
        {                                                                                          \
                .long_name = "config", .argument = "FILE", .help = "read settings from this file", \
                .kind = HF_OPTION_STRING, .offset = offsetof(struct hf_tool_options, config)       \
        }
#define HF_TOOL_LOCKSPACE                                                                          \
        {                                                                                          \
                .long_name = "lockspace", .argument = "NAME",                                      \
                .help = "this lockspace, and not the one of disks' leases",                        \
                .kind = HF_OPTION_STRING, .offset = offsetof(struct hf_tool_options, lockspace)    \
        }
#define HF_TOOL_PLACE                                                                              \
        {.long_name = "path",                                                                      \
         .argument = "PATH",                                                                       \
         .help = "with --lockspace: its file or block device",                                     \
         .kind = HF_OPTION_STRING,                                                                 \
         .offset = offsetof(struct hf_tool_options, path)},                                        \
        {                                                                                          \
                .long_name = "offset", .argument = "BYTES",                                        \
                .help = "with --path: where in it (default 0)", .kind = HF_OPTION_INT,             \
                .offset = offsetof(struct hf_tool_options, offset), .max = INT_MAX                 \
        }

/* What a verb works on. */
struct hf_tool {
        struct hf_paths paths;
        struct hf_sanlock_settings settings;
        struct hf_sanlock_lockspace lockspace;
};

/*
 * Reads a verb's options, and the settings. Returns 0 to go on; otherwise the verb ends with
 * *ret_status. *ret is freed with hf_tool_done in either case.
 */
int hf_tool_begin(const struct hf_options *options, int argc, char **argv,
                  struct hf_tool_options *given, struct hf_tool *ret, int *ret_first,
                  int *ret_status);
void hf_tool_done(struct hf_tool *tool);

#define hf_cleanup_tool hf_cleanup(hf_tool_done)

/* Says what is wrong; returns the exit status for it. */
int hf_tool_fail(const struct hf_lock_error *err);
int hf_tool_fail_as(int r, const struct hf_error *error);

/* Reports an argument that the verb does not take. Returns an exit status. */
int hf_tool_no_arguments(const struct hf_options *options);

/* Whether the daemon answers within some seconds; says so if it does not. */
bool hf_tool_has_daemon(void);
