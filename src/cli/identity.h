/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Who a VMM shall run as: a user, a group, and the other groups of that user.
 *
 * Names are looked up before anything is locked or forked: that may ask the network.
 */

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct hf_identity {
        uid_t uid;
        gid_t gid;
        gid_t *groups; /* with gid among them */
        size_t n_groups;
};

/*
 * Reads "USER[:GROUP]", each a name or a number. Without a group it is the user's own, so that a
 * number that is nobody's needs one. -EINVAL, -ENOENT, -ENOMEM. Clear *ret with the function below.
 */
int hf_identity_parse(const char *text, struct hf_identity *ret, struct hf_error *err);
void hf_identity_clear(struct hf_identity *who);

/* Makes this process, for good and with all its ids, that user's. */
int hf_identity_assume(const struct hf_identity *who, struct hf_error *err);
