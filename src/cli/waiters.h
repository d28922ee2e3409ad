/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Who waits in line, as the daemon tells. */

#include "base/thing.h"

#include <holdfast/holdfast.h>
#include <json-c/json.h>

/*
 * A waiter as a row: the members of a VM, its state "waiting (2nd in line)", since when it waits,
 * and position, ticket, mode, metadata, until, and what it waits for as "wants".
 */
struct json_object *hf_waiters_report(const struct holdfast_waiter_info *waiter);

/*
 * Those who wait for the path, or for what it leads to (kind none: not known), as an array.
 * Empty where the daemon does not tell.
 */
struct json_object *hf_waiters_of(const char *path, const struct hf_thing *thing);
