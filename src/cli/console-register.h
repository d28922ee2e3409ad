/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The consoles of a VM that `run` starts: holdfast-consoled is told of them, so that nothing that
 * the guest prints is lost, and whoever attaches later finds them by the VM's name.
 *
 * They can only be found once the VMM runs: QEMU makes its terminals itself. A process of its own
 * waits for that, asks QEMU by its monitor what it has, or looks at its descriptors where there
 * is no monitor, and tells the daemon. It is nobody's child by then, and nobody waits for it: a VM
 * starts and ends as if it were not there, and what goes wrong is one warning.
 *
 * Terminals (pty) only. A UNIX socket takes one client, and whoever asked for one has somebody
 * in mind; it is attached to by its path.
 */

#include "cli/monitor.h"
#include "cli/plan.h"

#include <holdfast/holdfast.h>

/* Whether the plan's VMM may have terminals, as far as words can tell, and they are to be kept. */
bool hf_console_is_wanted(const struct hf_plan *plan);

/*
 * In the process that is about to become the VMM, before anything is locked: makes the process that
 * follows it, if that is wanted.
 */
void hf_console_follow(const struct hf_plan *plan, const struct holdfast_vm *vm,
                       const struct hf_monitor *monitor);
