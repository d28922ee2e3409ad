/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Taking the locks of a plan, in the process that becomes the VMM.
 *
 * launch_prepare makes the library's VM object: the configuration is read and
 * the driver loaded, once, in the process that was started. launch_become is
 * called in the child, or with --exec in that process itself: it returns only
 * if the VMM could not be started, and then nothing is locked once the process
 * has ended.
 */

#include "cli/plan.h"
#include "cli/relabel.h"

#include <holdfast/holdfast.h>

/* Returns 0, or a negative errno with *ret_status, and the fault was reported. */
int hf_launch_prepare(const struct hf_plan *plan, struct holdfast_vm **ret, int *ret_status);

/* The exit status to end with; the reason was reported. */
int hf_launch_become(const struct hf_plan *plan, struct holdfast_vm *vm,
                     const struct hf_relabel *relabel);

/* Reports that the VMM cannot be run and returns the exit status; number is a positive errno. */
int hf_launch_no_vmm(const struct hf_plan *plan, int number);

/* A path as a person gave it or would: without the working directory in front. */
const char *hf_launch_short(const char *path);
