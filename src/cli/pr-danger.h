/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Dangers of another kind than those of dangers.h: not of the lock, but of persistent
 * reservations that a VM's guest is to make through a helper.
 *
 *   no-reservation-key      multipath has no key for the device: each of them will fail
 *   fixed-reservation-key   it has one, and the guest has to use just that
 */

#include "cli/dangers.h"

/*
 * Tells of those of an image, for a VM that is started by the words of vmm. Asks multipath for
 * its configuration; what cannot be found out is none.
 */
void hf_pr_dangers_of_image(const struct hf_plan_image *image, char *const *vmm, hf_danger_fn tell,
                            void *ctx);
