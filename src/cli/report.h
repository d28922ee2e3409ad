/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What the daemon says of VMs and locks, as JSON: the same members wherever a
 * verb shows them.
 */

#include "cli/foreign.h"

#include <holdfast/holdfast.h>
#include <json-c/json.h>

/* Processes that are looked for per VM; a VM with more is told with these. */
#define HF_REPORT_CARRIERS_MAX 64

/* "running", "client" and so on, in one word. */
const char *hf_report_state(const struct holdfast_vm_info *vm);

/* Whether both tell of one owner: a process may be several clients at once. */
bool hf_report_same_vm(const struct holdfast_vm_info *a, const struct holdfast_vm_info *b);

/* name, uuid, id, pid, state, paused, since, via, client. */
struct json_object *hf_report_vm(const struct holdfast_vm_info *vm);

/* name, lockspace, mode, metadata, guarantee, guarantee_reason, lease, by_name_only, since. */
struct json_object *hf_report_lock(const struct holdfast_lock_info *lock);

/*
 * The processes that have the VM's connection open, as far as we may see: an
 * array of {pid, command}. known, if not NULL, learns of them.
 */
struct json_object *hf_report_carriers(const struct holdfast_vm_info *vm,
                                       struct hf_foreign_known *known);

/* "exclusive" or "shared". */
const char *hf_report_mode(unsigned int shared);

/* A holder that a lock driver told of: name, uuid, pid, host, host_id, generation, mode, ... */
struct json_object *hf_report_holder(const struct holdfast_holder *holder);

/* The pid in an object as those above; 0: none. */
pid_t hf_report_pid(struct json_object *object);
