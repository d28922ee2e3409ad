/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * holdfast run: a VMM with its disks locked.
 *
 * The locks belong to the process that becomes the VMM, so that process takes
 * them, between fork and exec. We then only wait for it; should we be killed,
 * the VM goes on and keeps its locks.
 */

#include "cli/console-register.h"
#include "cli/launch.h"
#include "cli/message.h"
#include "cli/monitor.h"
#include "cli/supervise.h"
#include "cli/verb.h"

#include "base/cleanup.h"

#include <string.h>
#include <sys/prctl.h>

static int on_lost_option(const struct hf_option *option, const char *argument, void *out,
                          struct hf_error *err)
{
        static const char *const words[] = {
                [HOLDFAST_ON_LOST_WARN] = "warn",
                [HOLDFAST_ON_LOST_PAUSE] = "pause",
                [HOLDFAST_ON_LOST_KILL] = "kill",
        };
        struct hf_plan *plan = out;

        for (unsigned int i = HOLDFAST_ON_LOST_WARN; i < HF_ARRAY_LEN(words); i++)
                if (!strcmp(words[i], argument)) {
                        plan->on_lost = i;
                        return 0;
                }
        return hf_error_set(err, EINVAL, HF_ERR_INVALID_ARG, HF_FROM_NONE,
                            "--%s is \"warn\", \"pause\" or \"kill\", not \"%s\"",
                            option->long_name, argument);
}

static int wait_option(const struct hf_option *option, const char *argument, void *out,
                       struct hf_error *err)
{
        struct hf_plan *plan = out;

        (void)option;
        return hf_wait_read(argument, &plan->wait_ms, err);
}

static const struct hf_option option_table[] = {
        HF_PLAN_OPTIONS,
        HF_WAIT_OPTION(wait_option),
        {.long_name = "on-lost",
         .argument = "ACTION",
         .help = "when a lock is lost, or its file server is silent: warn, pause, or kill "
                 "(default: on_lost of holdfastd.conf; with sanlock SIGTERM, and SIGKILL later)",
         .kind = HF_OPTION_CALL,
         .call = on_lost_option},
        {.long_name = "no-monitor",
         .help = "do not give QEMU a monitor socket by which it can be paused",
         .kind = HF_OPTION_FLAG,
         .offset = offsetof(struct hf_plan, no_monitor)},
        {.long_name = "no-console",
         .help = "leave its terminals (-serial pty) to others: holdfast-consoled does not keep them",
         .kind = HF_OPTION_FLAG,
         .offset = offsetof(struct hf_plan, no_console)},
        {.long_name = "user",
         .argument = "USER[:GROUP]",
         .help = "run the VMM as that user (names or numbers), to whom its images belong "
                 "until it ends",
         .kind = HF_OPTION_STRING,
         .offset = offsetof(struct hf_plan, user)},
        {.long_name = "selinux-label",
         .argument = "CONTEXT",
         .help = "give its images that security context until it ends",
         .kind = HF_OPTION_STRING,
         .offset = offsetof(struct hf_plan, selinux_label)},
        {.long_name = "exec",
         .help = "become the VMM instead of waiting for it",
         .kind = HF_OPTION_FLAG,
         .offset = offsetof(struct hf_plan, exec)},
        HF_STANDARD_OPTIONS(struct hf_plan, standard),
};

static const struct hf_options options = {
        .program = "holdfast run",
        .usage = "[OPTION]... -- VMM [ARGUMENT]...",
        .summary = "Starts a virtual machine monitor with its disks locked, and ends as it ends.",
        .table = option_table,
        .n = HF_ARRAY_LEN(option_table),
        .stop_early = true,
};

/*
 * While it waits, the child ends with us: a VM goes on without whoever has started it, but nobody
 * stands in line for one who is gone. False: we are gone already.
 */
static bool wait_with(pid_t parent, const struct hf_plan *plan)
{
        return !plan->wait_ms || (prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && getppid() == parent);
}

static int become(struct hf_plan *plan, struct holdfast_vm *vm, const struct hf_relabel *relabel,
                  const struct hf_monitor *monitor)
{
        hf_console_follow(plan, vm, monitor);
        return hf_launch_become(plan, vm, relabel);
}

static int supervised(struct hf_plan *plan, struct holdfast_vm *vm,
                      const struct hf_relabel *relabel, struct hf_monitor *monitor)
{
        struct hf_supervise how;
        pid_t parent = getpid(), child;
        int status;

        child = hf_supervise_fork(&how);
        if (child < 0)
                return HF_EXIT_SYSTEM;
        if (child == 0)
                _exit(wait_with(parent, plan) ? become(plan, vm, relabel, monitor)
                                              : HF_EXIT_SYSTEM);
        hf_monitor_handed_on(monitor);
        status = hf_supervise(&how, child);
        hf_relabel_leave(relabel);
        return status;
}

static void give_monitor(struct hf_plan *plan, struct holdfast_vm *vm,
                         const struct hf_relabel *relabel, struct hf_monitor *monitor)
{
        struct holdfast_error error = {0};

        hf_monitor_prepare(plan->vmm, relabel->has_user, monitor);
        if (!monitor->socket)
                return;
        plan->vmm = monitor->argv;
        if (holdfast_vm_set_monitor(vm, monitor->socket, &error) < 0)
                hf_message("%s", error.text);
}

/* Without locks no settings say whether there is to be one; consoles are asked for by it, too. */
static bool wants_monitor(const struct hf_plan *plan, const struct holdfast_vm *vm)
{
        if (plan->no_monitor)
                return false;
        return holdfast_vm_wants_monitor(vm) ||
               (!strcmp(holdfast_vm_driver(vm), "nop") && hf_console_is_wanted(plan));
}

int hf_verb_run(int argc, char **argv)
{
        hf_cleanup_monitor struct hf_monitor monitor = {0};
        hf_cleanup_plan struct hf_plan plan;
        hf_cleanup_relabel struct hf_relabel relabel = {0};
        struct holdfast_vm *vm;
        int status;

        if (hf_plan_read(&plan, &options, argc, argv, &status) < 0)
                return status;
        status = hf_launch_check(&plan);
        if (status != HF_EXIT_OK)
                return status;
        if (hf_relabel_prepare(&plan, &relabel, &status) < 0)
                return status;
        if (hf_launch_prepare(&plan, &vm, &status) < 0)
                return status;
        if (wants_monitor(&plan, vm))
                give_monitor(&plan, vm, &relabel, &monitor);
        status = plan.exec ? become(&plan, vm, &relabel, &monitor)
                           : supervised(&plan, vm, &relabel, &monitor);
        holdfast_vm_free(vm);
        hf_monitor_remove(&monitor);
        return status;
}
