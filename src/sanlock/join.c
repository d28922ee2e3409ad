/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * holdfast sanlock join, leave: this host's part in a lockspace.
 */

#include "base/cleanup.h"
#include "base/clock.h"
#include "cli/message.h"
#include "cli/print.h"
#include "driver/error.h"
#include "sanlock/tool.h"

#include <sanlock_admin.h>
#include <string.h>

/* sanlock's greatest number of a host. */
#define HOST_ID_MAX 2000

static const struct hf_option join_table[] = {
        {.long_name = "host-id",
         .argument = "NUMBER",
         .help = "this host's number in it (default: the settings' host_id)",
         .kind = HF_OPTION_INT,
         .offset = offsetof(struct hf_tool_options, host_id),
         .min = 1,
         .max = HOST_ID_MAX},
        {.long_name = "timeout",
         .argument = "SECONDS",
         .help = "wait no longer; the daemon goes on (default: until it has joined, or failed)",
         .kind = HF_OPTION_INT,
         .offset = offsetof(struct hf_tool_options, wait_s),
         .max = INT_MAX},
        HF_TOOL_LOCKSPACE,
        HF_TOOL_PLACE,
        HF_TOOL_CONFIG,
        HF_STANDARD_OPTIONS(struct hf_tool_options, standard),
};

static const struct hf_option leave_table[] = {
        HF_TOOL_LOCKSPACE,
        HF_TOOL_CONFIG,
        HF_STANDARD_OPTIONS(struct hf_tool_options, standard),
};

static const struct hf_options join_options = {
        .program = "holdfast sanlock join",
        .usage = "[OPTION]...",
        .summary = "Joins the lockspace of disks' leases, or another one, and waits until that is "
                   "done. To have joined already is no error.",
        .table = join_table,
        .n = HF_ARRAY_LEN(join_table),
};

static const struct hf_options leave_options = {
        .program = "holdfast sanlock leave",
        .usage = "[OPTION]...",
        .summary = "Leaves the lockspace of disks' leases, or another one. Refused while a VM of "
                   "this host has leases in it.",
        .table = leave_table,
        .n = HF_ARRAY_LEN(leave_table),
};

int hf_sanlock_verb_join(int argc, char **argv)
{
        struct hf_tool_options given = {.wait_s = -1};
        hf_cleanup_tool struct hf_tool tool = {0};
        struct hf_lock_error err = {.size = sizeof(err)};
        uint64_t deadline = UINT64_MAX;
        int first, status;

        if (hf_tool_begin(&join_options, argc, argv, &given, &tool, &first, &status) < 0)
                return status;
        if (first < argc)
                return hf_tool_no_arguments(&join_options);
        if (given.lockspace && !given.path) {
                hf_message("--lockspace needs --path; see 'holdfast sanlock join --help'");
                return HF_EXIT_USAGE;
        }
        if (!hf_tool_has_daemon())
                return HF_EXIT_NO_DAEMON;
        if (given.wait_s >= 0)
                deadline = hf_clock_nsec(CLOCK_MONOTONIC) + (uint64_t)given.wait_s * 1000000000;
        if (hf_sanlock_lockspace_join(&tool.lockspace, deadline, &err) < 0)
                return hf_tool_fail(&err);
        hf_print_line("This host has joined the lockspace %s as host %u.", tool.lockspace.name,
                      tool.lockspace.host_id);
        return hf_print_end(HF_EXIT_OK);
}

/* What is joined by that name, wherever it is. 1, 0, or what sanlock gave. */
static int find_joined(const char *name, struct sanlk_lockspace *ret)
{
        hf_cleanup_free struct sanlk_lockspace *all = NULL;
        int n = 0, rv = sanlock_get_lockspaces(&all, &n, 0);

        if (rv < 0)
                return rv;
        for (int i = 0; i < n; i++)
                if (!strncmp(all[i].name, name, SANLK_NAME_LEN)) {
                        *ret = all[i];
                        ret->flags = 0;
                        return 1;
                }
        return 0;
}

static int leave(const char *name, struct hf_lock_error *err)
{
        struct sanlk_lockspace ls;
        int rv = find_joined(name, &ls);

        if (rv == 0)
                rv = -ENOENT;
        /* Without that flag its users would be killed. */
        if (rv > 0)
                rv = sanlock_rem_lockspace(&ls, SANLK_REM_UNUSED);
        return rv < 0 ? hf_sanlock_fail(err, HF_SANLOCK_LEAVE, rv, "cannot leave the lockspace %s",
                                        name)
                      : 0;
}

int hf_sanlock_verb_leave(int argc, char **argv)
{
        struct hf_tool_options given = {0};
        hf_cleanup_tool struct hf_tool tool = {0};
        struct hf_lock_error err = {.size = sizeof(err)};
        int first, status;

        if (hf_tool_begin(&leave_options, argc, argv, &given, &tool, &first, &status) < 0)
                return status;
        if (first < argc)
                return hf_tool_no_arguments(&leave_options);
        if (!hf_tool_has_daemon())
                return HF_EXIT_NO_DAEMON;
        if (leave(tool.lockspace.name, &err) < 0)
                return hf_tool_fail(&err);
        hf_print_line("This host has left the lockspace %s.", tool.lockspace.name);
        return hf_print_end(HF_EXIT_OK);
}
