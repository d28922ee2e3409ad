/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/report.h"

#include "cli/holder.h"
#include "cli/print.h"
#include "cli/reach.h"
#include "vm/resources.h"

#include "base/process.h"

#include <string.h>

const char *hf_report_state(const struct holdfast_vm_info *vm)
{
        return vm->client && vm->state == HOLDFAST_VM_ALIVE ? "client" : hf_state_name(vm->state);
}

bool hf_report_same_vm(const struct holdfast_vm_info *a, const struct holdfast_vm_info *b)
{
        return a->pid == b->pid && a->start == b->start && a->client == b->client &&
               !memcmp(a->uuid, b->uuid, sizeof(a->uuid));
}

struct json_object *hf_report_vm(const struct holdfast_vm_info *vm)
{
        struct json_object *object = json_object_new_object();
        char uuid[HF_VM_UUID_TEXT];

        hf_print_put(object, "name", hf_print_string(vm->name));
        hf_print_put(object, "uuid", json_object_new_string(hf_vm_uuid_format(vm->uuid, uuid)));
        hf_print_put(object, "id", json_object_new_int64(vm->id));
        hf_print_put(object, "pid", json_object_new_int(vm->pid));
        hf_print_put(object, "state", json_object_new_string(hf_report_state(vm)));
        hf_print_put(object, "paused", json_object_new_boolean(vm->paused != 0));
        hf_print_put(object, "since", hf_print_time(vm->since));
        hf_print_put(object, "via", hf_print_string(vm->via));
        hf_print_put(object, "client", json_object_new_boolean(vm->client != 0));
        return object;
}

const char *hf_report_mode(unsigned int shared)
{
        return shared ? "shared" : "exclusive";
}

struct json_object *hf_report_lock(const struct holdfast_lock_info *lock)
{
        struct json_object *object = json_object_new_object();

        hf_print_put(object, "name", hf_print_string(lock->name));
        hf_print_put(object, "lockspace",
                     *lock->lockspace ? hf_print_string(lock->lockspace) : NULL);
        hf_print_put(object, "mode", json_object_new_string(hf_report_mode(lock->shared)));
        hf_print_put(object, "metadata", json_object_new_boolean(lock->metadata != 0));
        hf_reach_put_lock(object, lock);
        hf_print_put(object, "lease", json_object_new_string(hf_lease_name(lock->lease)));
        hf_print_put(object, "by_name_only",
                     json_object_new_boolean(lock->thing.kind == 0 && !lock->metadata));
        hf_print_put(object, "since", hf_print_time(lock->since));
        return object;
}

struct json_object *hf_report_carriers(const struct holdfast_vm_info *vm,
                                       struct hf_foreign_known *known)
{
        struct json_object *carriers = json_object_new_array();
        pid_t pids[HF_REPORT_CARRIERS_MAX];
        int n = vm->n_connections ? hf_socket_carriers(vm->connections, vm->n_connections, pids,
                                                       HF_REPORT_CARRIERS_MAX)
                                  : 0;

        for (int i = 0; i < n; i++) {
                struct json_object *carrier = json_object_new_object();
                char comm[HF_PROCESS_COMM_MAX];

                if (hf_process_comm(pids[i], comm, sizeof(comm)) < 0)
                        comm[0] = '\0';
                hf_print_put(carrier, "pid", json_object_new_int(pids[i]));
                hf_print_put(carrier, "command", hf_print_string(comm));
                if (json_object_array_add(carriers, carrier) < 0)
                        (void)json_object_put(carrier);
                if (known)
                        (void)hf_foreign_know(known, pids[i]);
        }
        return carriers;
}

struct json_object *hf_report_holder(const struct holdfast_holder *holder)
{
        static const unsigned char none[HOLDFAST_UUID_SIZE];
        struct json_object *object = json_object_new_object();
        char uuid[HF_VM_UUID_TEXT];
        bool has_uuid = memcmp(holder->uuid, none, sizeof(none)) != 0;

        hf_print_put(object, "kind", json_object_new_string(holder->pid ? "vm" : "elsewhere"));
        hf_print_put(object, "name", *holder->name ? hf_print_string(holder->name) : NULL);
        hf_print_put(object, "uuid",
                     has_uuid ? json_object_new_string(hf_vm_uuid_format(holder->uuid, uuid))
                              : NULL);
        hf_print_put(object, "pid", holder->pid ? json_object_new_int(holder->pid) : NULL);
        hf_print_put(object, "host", *holder->host ? hf_print_string(holder->host) : NULL);
        hf_print_put(object, "host_id",
                     holder->host_id ? json_object_new_int64(holder->host_id) : NULL);
        hf_print_put(object, "generation",
                     holder->host_id ? json_object_new_uint64(holder->generation) : NULL);
        hf_print_put(object, "state", *holder->state ? hf_print_string(holder->state) : NULL);
        hf_print_put(object, "via", *holder->via ? hf_print_string(holder->via) : NULL);
        hf_print_put(object, "mode", json_object_new_string(hf_report_mode(holder->shared)));
        hf_print_put(object, "since", hf_print_time(holder->since));
        return object;
}

pid_t hf_report_pid(struct json_object *object)
{
        return json_object_get_int(json_object_object_get(object, "pid"));
}
