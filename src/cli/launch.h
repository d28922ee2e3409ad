/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Taking the locks of a plan, in the process that becomes the VMM.
 *
 * launch_prepare makes the library's VM object: the configuration is read and
 * the driver loaded, once, in the process that was started. launch_become is
 * called in the child, or with --exec in that process itself: it returns only
 * if the VMM could not be started, and then nothing is locked once the process
 * has ended. It is launch_lock and launch_exec.
 */

#include "cli/plan.h"
#include "cli/relabel.h"

#include <holdfast/holdfast.h>

/* Whether the program and all images are there: HF_EXIT_OK, or a status; the fault was reported. */
int hf_launch_check(const struct hf_plan *plan);

/* Returns 0, or a negative errno with *ret_status, and the fault was reported. */
int hf_launch_prepare(struct hf_plan *plan, struct holdfast_vm **ret, int *ret_status);

/* The exit status to end with; the reason was reported. */
int hf_launch_become(struct hf_plan *plan, struct holdfast_vm *vm,
                     const struct hf_relabel *relabel);

/*
 * Takes the locks, waits for them if it is to, and looks whether anybody has a disk who did not ask
 * for one. HF_EXIT_OK, and *ret_connection is what holds them (or -1), not close-on-exec;
 * otherwise the exit status.
 */
int hf_launch_lock(struct hf_plan *plan, struct holdfast_vm *vm, int *ret_connection);

/* Becomes the program; as hf_launch_become. */
int hf_launch_exec(const struct hf_plan *plan);

/* Reports that the VMM cannot be run and returns the exit status; number is a positive errno. */
int hf_launch_no_vmm(const struct hf_plan *plan, int number);

/* A path as a person gave it or would: without the working directory in front. */
const char *hf_launch_short(const char *path);
