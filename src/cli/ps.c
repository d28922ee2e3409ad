/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * holdfast ps: the VMs that the daemon knows, and what they hold.
 */

#include "cli/holder.h"
#include "cli/message.h"
#include "cli/print.h"
#include "cli/report.h"
#include "cli/verb.h"

#include "base/cleanup.h"

#include <string.h>

struct ps_options {
        struct hf_standard_options standard;
        bool json;
};

static const struct hf_option option_table[] = {
        HF_JSON_OPTION(struct ps_options),
        HF_STANDARD_OPTIONS(struct ps_options, standard),
};

static const struct hf_options options = {
        .program = "holdfast ps",
        .usage = "[OPTION]...",
        .summary = "Lists virtual machines and what they hold.",
        .table = option_table,
        .n = HF_ARRAY_LEN(option_table),
};

static const struct hf_print_column columns[] = {
        {"NAME", "name"},         {"PID", "pid"}, {"STATE", "status"},
        {"SINCE", "since", true}, {"VIA", "via"}, {"LOCKS", "locks"},
};

static void print_lock(struct json_object *lock)
{
        bool by_name = json_object_get_boolean(json_object_object_get(lock, "by_name_only"));
        const char *lockspace = hf_print_text(lock, "lockspace");
        const char *state = hf_print_text(lock, "lease"), *lease = "";

        if (!strcmp(state, hf_lease_name(HOLDFAST_LEASE_LOST)))
                lease = "  (lost)";
        else if (!strcmp(state, hf_lease_name(HOLDFAST_LEASE_DOUBTED)))
                lease = "  (in danger: its server is silent)";
        hf_print_line("  %-9s  %-16s  %s%s%s%s%s", hf_print_text(lock, "mode"),
                      hf_print_text(lock, "guarantee"), lockspace, *lockspace ? "/" : "",
                      hf_print_text(lock, "name"), by_name ? "  (by name only)" : "", lease);
}

/* Below a VM's row: who keeps it alive, and what it has. */
static void print_details(struct json_object *vm)
{
        struct json_object *carriers = json_object_object_get(vm, "carriers");
        struct json_object *locks = json_object_object_get(vm, "locks");

        for (size_t i = 0; i < json_object_array_length(carriers); i++) {
                struct json_object *carrier = json_object_array_get_idx(carriers, i);

                hf_print_line("  carried by %s (pid %s)", hf_print_text(carrier, "command"),
                              hf_print_text(carrier, "pid"));
        }
        for (size_t i = 0; i < json_object_array_length(locks); i++)
                print_lock(json_object_array_get_idx(locks, i));
}

static struct json_object *locks_of(const struct holdfast_vm_info *vm,
                                    const struct holdfast_lock_list *locks)
{
        struct json_object *array = json_object_new_array();

        for (size_t i = 0; i < locks->n; i++) {
                const struct holdfast_lock_info *lock = locks->locks[i];

                if (lock->vm->pid == vm->pid && lock->vm->start == vm->start)
                        (void)json_object_array_add(array, hf_report_lock(lock));
        }
        return array;
}

/* The worst of what is known of a VM's locks. */
static unsigned int lease_of(const struct holdfast_vm_info *vm,
                             const struct holdfast_lock_list *locks)
{
        unsigned int worst = HOLDFAST_LEASE_NONE;

        for (size_t i = 0; i < locks->n; i++) {
                const struct holdfast_lock_info *lock = locks->locks[i];

                if (lock->vm->pid == vm->pid && lock->vm->start == vm->start && lock->lease > worst)
                        worst = lock->lease;
        }
        return worst;
}

/* Its state, and what is amiss with its locks: "running", "paused: lease lost". */
static struct json_object *status_of(const struct holdfast_vm_info *vm,
                                     const struct holdfast_lock_list *locks)
{
        unsigned int lease = lease_of(vm, locks);
        const char *state = vm->paused ? "paused" : hf_state_name(vm->state);
        char text[64];

        if (lease < HOLDFAST_LEASE_DOUBTED)
                return json_object_new_string(state);
        (void)snprintf(text, sizeof(text), "%s: lease %s", state, hf_lease_name(lease));
        return json_object_new_string(text);
}

static struct json_object *report(const struct holdfast_vm_list *vms,
                                  const struct holdfast_lock_list *locks)
{
        struct json_object *document = hf_print_document("holdfast.ps");
        struct json_object *array = json_object_new_array();

        for (size_t i = 0; i < vms->n; i++) {
                const struct holdfast_vm_info *vm = vms->vms[i];
                struct json_object *object = hf_report_vm(vm);
                bool gone = vm->state == HOLDFAST_VM_CARRIED;

                hf_print_put(object, "status", status_of(vm, locks));
                hf_print_put(object, "carriers",
                             gone ? hf_report_carriers(vm, NULL) : json_object_new_array());
                hf_print_put(object, "locks", locks_of(vm, locks));
                (void)json_object_array_add(array, object);
        }
        hf_print_put(document, "vms", array);
        return document;
}

static int show(const struct holdfast_vm_list *vms, const struct holdfast_lock_list *locks,
                bool json)
{
        struct json_object *document = report(vms, locks);

        if (json)
                hf_print_json(document);
        else
                hf_print_table(json_object_object_get(document, "vms"), columns,
                               HF_ARRAY_LEN(columns), print_details);
        (void)json_object_put(document);
        return hf_print_end(HF_EXIT_OK);
}

int hf_verb_ps(int argc, char **argv)
{
        struct ps_options given = {0};
        struct holdfast_error error = {0};
        struct holdfast_vm_list *vms = NULL;
        struct holdfast_lock_list *locks = NULL;
        int first, status;

        if (hf_verb_options(&options, argc, argv, &given, &given.standard, &first, &status) < 0)
                return status;
        if (first < argc) {
                hf_message("ps takes no arguments; see 'holdfast ps --help'");
                return HF_EXIT_USAGE;
        }
        if (holdfast_list_vms(0, &vms, &error) < 0 || holdfast_list_locks(0, &locks, &error) < 0) {
                hf_message("%s", error.text);
                status = hf_message_status(&error);
        } else {
                status = show(vms, locks, given.json);
        }
        holdfast_vm_list_free(vms);
        holdfast_lock_list_free(locks);
        return status;
}
