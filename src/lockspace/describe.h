/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Holders in words, for refusals: "web0 (pid 4711, host alpha, since 10:04,
 * holdfast run)".
 */

#include "lockspace/table.h"

#include <stddef.h>

/* Enough for the longest VM name kept and everything around it. */
#define HF_DESCRIPTION_MAX (HF_TABLE_OWNER_NAME_MAX + 256)

struct hf_description {
        const char *name, *host, *via;
        pid_t pid;
        uint64_t since;
        const char *more; /* words behind the rest, or "" */
};

/* The same in words of their own: of a holder that no table tells of. */
void hf_describe(const struct hf_description *who, uint64_t now,
                 char buf[static HF_DESCRIPTION_MAX]);

/*
 * Describes the owner of a hold. now is in microseconds since the epoch: what
 * was taken on another day is given with its date. Times are local.
 */
void hf_describe_holder(struct hf_table *table, uint32_t hold, const char *host, uint64_t now,
                        char buf[static HF_DESCRIPTION_MAX]);
