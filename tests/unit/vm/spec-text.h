/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A spec as text, so that a test can say in one string what it expects.
 *
 * One line for each disk, in order: the mode (W exclusive, S shared, R read-only), the path,
 * the format ("?" if not said), and "+backing" or "+data" where these were given. Then one
 * line for each lease.
 */

#include "vm/resources.h"

/* The caller's to free; NULL only if out of memory. */
char *spec_text(const struct hf_vm_spec *spec);
