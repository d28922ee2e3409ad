/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * holdfast run: a VMM with its disks locked.
 *
 * The locks belong to the process that becomes the VMM, so that process takes
 * them, between fork and exec. We then only wait for it; should we be killed,
 * the VM goes on and keeps its locks.
 */

#include "cli/launch.h"
#include "cli/message.h"
#include "cli/supervise.h"
#include "cli/verb.h"

#include "base/cleanup.h"

#include <string.h>

static const struct hf_option option_table[] = {
        HF_PLAN_OPTIONS,
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

static int check_inputs(const struct hf_plan *plan)
{
        int r = hf_plan_find_vmm(plan);

        if (r < 0)
                return hf_launch_no_vmm(plan, -r);
        for (size_t i = 0; i < plan->n_images; i++) {
                if (!plan->images[i].problem)
                        continue;
                hf_plan_image_report(&plan->images[i]);
                return hf_plan_image_status(&plan->images[i]);
        }
        return HF_EXIT_OK;
}

static int supervised(const struct hf_plan *plan, struct holdfast_vm *vm)
{
        struct hf_supervise how;
        pid_t child;

        hf_supervise_begin(&how);
        child = fork();
        if (child < 0) {
                hf_message("cannot make a process: %s", strerror(errno));
                return HF_EXIT_SYSTEM;
        }
        if (child == 0) {
                hf_supervise_release(&how);
                _exit(hf_launch_become(plan, vm));
        }
        return hf_supervise(&how, child);
}

int hf_verb_run(int argc, char **argv)
{
        hf_cleanup_plan struct hf_plan plan;
        struct holdfast_vm *vm;
        int status;

        if (hf_plan_read(&plan, &options, argc, argv, &status) < 0)
                return status;
        status = check_inputs(&plan);
        if (status != HF_EXIT_OK || hf_launch_prepare(&plan, &vm, &status) < 0)
                return status;
        status = plan.exec ? hf_launch_become(&plan, vm) : supervised(&plan, vm);
        holdfast_vm_free(vm);
        return status;
}
