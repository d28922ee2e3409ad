/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * holdfast ps: the VMs that the daemon knows, and what they hold.
 */

#include "cli/holder.h"
#include "cli/look.h"
#include "cli/message.h"
#include "cli/print.h"
#include "cli/report.h"
#include "cli/verb.h"
#include "cli/waiters.h"

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

static const struct hf_print_column waiter_columns[] = {
        {"IN LINE", "name"},      {"PID", "pid"},   {"STATE", "state"}, {"SINCE", "since", true},
        {"UNTIL", "until", true}, {"MODE", "mode"}, {"FOR", "wants"},
};

/* All that the daemon tells. */
struct told {
        struct holdfast_vm_list *vms;
        struct holdfast_lock_list *locks;
        struct holdfast_waiter_list *waiters;
};

static void print_lock(struct json_object *lock)
{
        bool by_name = json_object_get_boolean(json_object_object_get(lock, "by_name_only"));
        bool metadata = json_object_get_boolean(json_object_object_get(lock, "metadata"));
        const char *lockspace = hf_print_text(lock, "lockspace");
        const char *state = hf_print_text(lock, "lease"), *lease = "";

        if (!strcmp(state, hf_lease_name(HOLDFAST_LEASE_LOST)))
                lease = "  (lost)";
        else if (!strcmp(state, hf_lease_name(HOLDFAST_LEASE_DOUBTED)))
                lease = "  (in danger: its server is silent)";
        hf_print_line("  %-9s  %-16s  %s%s%s%s%s",
                      metadata ? "metadata" : hf_print_text(lock, "mode"),
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

                if (hf_report_same_vm(lock->vm, vm))
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

                if (hf_report_same_vm(lock->vm, vm) && lock->lease > worst)
                        worst = lock->lease;
        }
        return worst;
}

/* Its state, and what is amiss with its locks: "running", "paused: lease lost". */
static struct json_object *status_of(const struct holdfast_vm_info *vm,
                                     const struct holdfast_lock_list *locks)
{
        unsigned int lease = lease_of(vm, locks);
        const char *state = vm->paused ? "paused" : hf_report_state(vm);
        char text[64];

        if (lease < HOLDFAST_LEASE_DOUBTED)
                return json_object_new_string(state);
        (void)snprintf(text, sizeof(text), "%s: lease %s", state, hf_lease_name(lease));
        return json_object_new_string(text);
}

static struct json_object *report_vms(const struct told *told)
{
        struct json_object *array = json_object_new_array();

        for (size_t i = 0; i < told->vms->n; i++) {
                const struct holdfast_vm_info *vm = told->vms->vms[i];
                struct json_object *object = hf_report_vm(vm);
                bool gone = vm->state == HOLDFAST_VM_CARRIED;

                hf_print_put(object, "status", status_of(vm, told->locks));
                hf_print_put(object, "carriers",
                             gone ? hf_report_carriers(vm, NULL) : json_object_new_array());
                hf_print_put(object, "locks", locks_of(vm, told->locks));
                (void)json_object_array_add(array, object);
        }
        return array;
}

static struct json_object *report_waiters(const struct told *told)
{
        struct json_object *array = json_object_new_array();

        for (size_t i = 0; i < told->waiters->n; i++)
                (void)json_object_array_add(array, hf_waiters_report(told->waiters->waiters[i]));
        return array;
}

static int show(const struct told *told, bool json)
{
        struct json_object *document = hf_print_document("holdfast.ps");
        struct json_object *vms = report_vms(told), *waiters = report_waiters(told);

        hf_print_put(document, "vms", vms);
        hf_print_put(document, "waiters", waiters);
        if (json)
                hf_print_json(document);
        else
                hf_print_table(vms, columns, HF_ARRAY_LEN(columns), print_details);
        if (!json && json_object_array_length(waiters)) {
                hf_print_line("%s", "");
                hf_print_table(waiters, waiter_columns, HF_ARRAY_LEN(waiter_columns), NULL);
        }
        (void)json_object_put(document);
        return hf_print_end(HF_EXIT_OK);
}

static void forget(struct told *told)
{
        holdfast_vm_list_free(told->vms);
        holdfast_lock_list_free(told->locks);
        holdfast_waiter_list_free(told->waiters);
}

int hf_verb_ps(int argc, char **argv)
{
        hf_cleanup(forget) struct told told = {0};
        struct ps_options given = {0};
        struct holdfast_error error = {0};
        int first, status;

        if (hf_verb_options(&options, argc, argv, &given, &given.standard, &first, &status) < 0)
                return status;
        if (first < argc) {
                hf_message("ps takes no arguments; see 'holdfast ps --help'");
                return HF_EXIT_USAGE;
        }
        if (holdfast_list_vms(0, &told.vms, &error) < 0 ||
            holdfast_list_locks(0, &told.locks, &error) < 0 ||
            holdfast_list_waiters(0, &told.waiters, &error) < 0) {
                hf_message("%s%s", error.text,
                           error.code == HOLDFAST_E_NO_DAEMON && hf_look_has_driver()
                                   ? "; leases by the lock driver of the settings are shown by "
                                     "'holdfast who' and 'holdfast sanlock status'"
                                   : "");
                return hf_message_status(&error);
        }
        return show(&told, given.json);
}
