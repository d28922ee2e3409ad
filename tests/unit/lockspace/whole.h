/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What must be so in a table at any time, looked at record by record and written
 * without a glance at how the table does it. For small tables.
 */

#include "lockspace/rebuild.h"

/*
 * NULL, or what is wrong: every chain ends, each record is in exactly the chains
 * it must be in, counts are right, what is free is not in use, and each hold is
 * a claim.
 */
const char *whole_fault(struct hf_table *table);

/* What the table is now, in a file of its own and adopted. NULL: it cannot be. */
struct hf_table *whole_copy(const struct hf_table *table);

/* Adds one of each and removes it. NULL, or what failed. */
const char *whole_use(struct hf_table *table);

/* The bytes of a table up to its last string; two with the same content have the same. */
size_t whole_size(const struct hf_table *table);
