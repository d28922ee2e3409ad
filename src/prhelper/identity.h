/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* As whom the helper runs, and what this host is called. */

#include "base/error.h"

#include <sys/types.h>

/*
 * The user and group that the options -u and -g name, by name or number; NULL: as we are, -1. A
 * user without a group has the one that the system's list of users gives it.
 */
int hf_pr_identity(const char *user, const char *group, uid_t *ret_uid, gid_t *ret_gid,
                   struct hf_error *err);

/* Of this host as an initiator: `name` if there is one, else the machine's id. */
int hf_pr_host_name(const char *name, char *ret, size_t size, struct hf_error *err);
