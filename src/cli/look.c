/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/look.h"

#include "base/cleanup.h"
#include "cli/lookaside.h"
#include "cli/print.h"
#include "cli/report.h"

#include <string.h>

static void free_vm(struct holdfast_vm **vm)
{
        holdfast_vm_free(*vm);
}

/* A VM object for questions only. */
static int make(struct holdfast_vm **ret, struct holdfast_error *err)
{
        struct holdfast_vm_params params;

        holdfast_vm_params_init(&params);
        params.name = "holdfast";
        params.via = "holdfast";
        return holdfast_vm_new(&params, ret, err);
}

/* Those of this host's own lock daemon are asked by name; nop knows of nothing. */
static bool is_foreign(const struct holdfast_vm *vm)
{
        const char *name = holdfast_vm_driver(vm);

        return strcmp(name, "lockd") != 0 && strcmp(name, "nop") != 0;
}

bool hf_look_has_driver(void)
{
        hf_cleanup(free_vm) struct holdfast_vm *vm = NULL;

        return make(&vm, NULL) >= 0 && is_foreign(vm);
}

struct looking {
        struct json_object *array;
        struct holdfast_holder *first;
        int n;
};

static void add(void *ctx, const struct holdfast_holder *holder)
{
        struct looking *looking = ctx;

        if (looking->n++ == 0)
                *looking->first = *holder;
        (void)json_object_array_add(looking->array, hf_report_holder(holder));
}

int hf_look_at_disk(const char *path, struct json_object *array, struct holdfast_holder *ret_first,
                    struct holdfast_error *err)
{
        hf_cleanup_free char *absolute = hf_lookaside_absolute(path);
        struct looking looking = {.array = array, .first = ret_first};
        unsigned int guarantee = HOLDFAST_GUARANTEE_NONE;
        hf_cleanup(free_vm) struct holdfast_vm *vm = NULL;
        size_t before = json_object_array_length(array);
        int r = absolute ? make(&vm, err) : -ENOMEM;

        *ret_first = (struct holdfast_holder){.size = sizeof(*ret_first)};
        if (r >= 0 && !is_foreign(vm))
                r = -EOPNOTSUPP;
        if (r >= 0)
                r = holdfast_vm_add_disk(vm, absolute, 0, err);
        if (r >= 0)
                r = holdfast_vm_look(vm, add, &looking, &guarantee, err);
        for (size_t i = before; r >= 0 && i < json_object_array_length(array); i++)
                hf_print_put(json_object_array_get_idx(array, i), "guarantee",
                             json_object_new_string(holdfast_guarantee_name(guarantee)));
        return r < 0 ? r : looking.n;
}

void hf_look_print(struct json_object *holder)
{
        const char *state = hf_print_text(holder, "state");

        if (hf_report_pid(holder))
                hf_print_line("Lease held by  %s (pid %s, host %s): %s, %s",
                              hf_print_text(holder, "name"), hf_print_text(holder, "pid"),
                              hf_print_text(holder, "host"), hf_print_text(holder, "mode"),
                              hf_print_text(holder, "guarantee"));
        else
                hf_print_line("Lease held by  another host: %s, %s", hf_print_text(holder, "mode"),
                              hf_print_text(holder, "guarantee"));
        if (*state)
                hf_print_line("  known        %s", state);
}
