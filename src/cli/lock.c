/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * holdfast lock: a command with disks locked, as flock(1) does it.
 *
 * The locks are those that `run` takes, at the same places, but whoever has them is no VM: they
 * belong to all who have the connection open, nobody is killed when it ends, and readers and
 * writers keep one another out. The process takes them and becomes the command, so that its
 * children have them as well. With --close it stays beside the command instead, which does not have
 * them.
 */

#include "cli/launch.h"
#include "cli/message.h"
#include "cli/supervise.h"
#include "cli/verb.h"

#include "base/cleanup.h"

#include <fcntl.h>
#include <string.h>

struct lock_options {
        struct hf_plan plan;
        bool shared;
};

static int wait_option(const struct hf_option *option, const char *argument, void *out,
                       struct hf_error *err)
{
        struct lock_options *given = out;

        (void)option;
        return hf_wait_read(argument, &given->plan.wait_ms, err);
}

static const struct hf_option option_table[] = {
        {.short_name = 's',
         .long_name = "shared",
         .help = "as one of several readers, which keep writers out",
         .kind = HF_OPTION_FLAG,
         .offset = offsetof(struct lock_options, shared)},
        HF_WAIT_OPTION(wait_option),
        {.short_name = 'o',
         .long_name = "close",
         .help = "the locks end with the command, whatever it leaves running",
         .kind = HF_OPTION_FLAG,
         .offset = offsetof(struct lock_options, plan.close)},
        {.long_name = "name",
         .argument = "NAME",
         .help = "who holds the locks, as others are told (default: the command)",
         .kind = HF_OPTION_STRING,
         .offset = offsetof(struct lock_options, plan.name)},
        {.long_name = "driver",
         .argument = "NAME",
         .help = "lock driver (default: lock_manager of holdfast.conf)",
         .kind = HF_OPTION_STRING,
         .offset = offsetof(struct lock_options, plan.driver)},
        HF_STANDARD_OPTIONS(struct lock_options, plan.standard),
};

static const struct hf_options options = {
        .program = "holdfast lock",
        .usage = "[OPTION]... PATH... -- COMMAND [ARGUMENT]...",
        .summary = "Runs a command with disks locked, and ends as it ends.",
        .table = option_table,
        .n = HF_ARRAY_LEN(option_table),
};

/* Where the command is named: behind the first "--", which belongs to us. */
static int find_command(int argc, char **argv)
{
        for (int i = 1; i < argc; i++)
                if (!strcmp(argv[i], "--"))
                        return i + 1;
        return argc;
}

static int usage(const char *what)
{
        hf_message("%s; see 'holdfast lock --help'", what);
        return HF_EXIT_USAGE;
}

/* Returns HF_EXIT_OK to go on; else *ret_end tells that the verb ends with that status. */
static int read_plan(struct lock_options *given, int argc, char **argv, bool *ret_end)
{
        struct hf_plan *plan = &given->plan;
        int command = find_command(argc, argv), first, status;
        unsigned int flags;
        struct hf_error error = {0};

        *ret_end = true;
        if (hf_verb_options(&options, command < argc ? command - 1 : argc, argv, given,
                            &plan->standard, &first, &status) < 0)
                return status;
        if (command == argc)
                return usage("which command shall be run? Put it behind \"--\"");
        if (first == command - 1)
                return usage("which disks shall be locked? Name them before \"--\"");
        flags = given->shared ? HF_VM_DISK_READONLY : 0;
        for (int i = first; i < command - 1; i++)
                if (hf_vm_spec_add_disk(&plan->said, argv[i], flags, NULL, "argument", &error) < 0)
                        return usage(error.text);
        plan->client = true;
        plan->no_scan = true;
        plan->vmm = argv + command;
        if (!plan->name) {
                const char *slash = strrchr(plan->vmm[0], '/');

                plan->name = slash && slash[1] ? slash + 1 : plan->vmm[0];
        }
        if (hf_plan_fill(plan, &status) < 0)
                return status;
        *ret_end = false;
        return HF_EXIT_OK;
}

static int run_beside(struct hf_plan *plan, int connection)
{
        struct hf_supervise how;
        pid_t child;

        if (connection >= 0)
                (void)fcntl(connection, F_SETFD, FD_CLOEXEC);
        child = hf_supervise_fork(&how);
        if (child < 0)
                return HF_EXIT_SYSTEM;
        if (child == 0)
                _exit(hf_launch_exec(plan));
        return hf_supervise(&how, child);
}

static int lock_and_run(struct hf_plan *plan)
{
        struct holdfast_vm *vm;
        int connection, status;

        status = hf_launch_check(plan);
        if (status != HF_EXIT_OK)
                return status;
        if (hf_launch_prepare(plan, &vm, &status) < 0)
                return status;
        status = hf_launch_lock(plan, vm, &connection);
        if (status == HF_EXIT_OK)
                status = plan->close ? run_beside(plan, connection) : hf_launch_exec(plan);
        holdfast_vm_free(vm);
        return status;
}

int hf_verb_lock(int argc, char **argv)
{
        struct lock_options given = {0};
        int status;
        bool end;

        hf_vm_spec_init(&given.plan.said);
        hf_vm_spec_init(&given.plan.found);
        status = read_plan(&given, argc, argv, &end);
        if (!end)
                status = lock_and_run(&given.plan);
        hf_plan_clear(&given.plan);
        return status;
}
