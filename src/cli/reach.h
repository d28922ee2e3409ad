/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Reach: how far a lock goes, as the filesystems of this process say it; and who at
 * another host has one, as its record says. The daemon says of its locks itself how far
 * they go; why so is told here.
 */

#include "cli/holder.h"
#include "storage/guarantee.h"
#include "storage/record.h"

#include <json-c/json.h>

/* What a lock on the thing behind a path is worth. */
void hf_reach_of(const char *path, const struct hf_thing *thing, struct hf_guarantee_of *ret);

/* object["guarantee"] and object["guarantee_reason"]: as found out, or of a lock of the daemon. */
void hf_reach_put(struct json_object *object, const struct hf_guarantee_of *guarantee);
void hf_reach_put_lock(struct json_object *object, const struct holdfast_lock_info *lock);

/* "web1 (pid 4711, host alpha, since 10:04, libvirt), as its record says". Returns text. */
char *hf_reach_holder_text(const struct hf_record *record, char text[static HF_HOLDER_TEXT_MAX]);

/* What a record says of a VM, with the members of hf_report_vm as far as it tells. */
struct json_object *hf_reach_report(const struct hf_record *record);
