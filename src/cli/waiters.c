/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/waiters.h"

#include "cli/lookaside.h"
#include "cli/print.h"
#include "cli/report.h"
#include "cli/wait.h"

#include "base/cleanup.h"

#include <stdio.h>
#include <string.h>

static struct json_object *state_of(const struct holdfast_waiter_info *waiter)
{
        char text[64], nth[HF_ORDINAL_MAX];

        (void)snprintf(text, sizeof(text), "waiting (%s in line)",
                       hf_wait_ordinal(waiter->position, nth));
        return json_object_new_string(text);
}

/* The name that it is locked by, as a path. NULL: out of memory. */
static char *path_of(const struct holdfast_waiter_info *waiter)
{
        char *path;

        if (asprintf(&path, "%s%s%s", waiter->lockspace, *waiter->lockspace ? "/" : "",
                     waiter->name) < 0)
                return NULL;
        return path;
}

struct json_object *hf_waiters_report(const struct holdfast_waiter_info *waiter)
{
        struct json_object *object = hf_report_vm(waiter->vm);
        hf_cleanup_free char *wants = path_of(waiter);
        const char *mode = waiter->metadata ? "metadata" : hf_report_mode(waiter->shared);

        hf_print_put(object, "kind", json_object_new_string("waiting"));
        hf_print_put(object, "state", state_of(waiter));
        hf_print_put(object, "position", json_object_new_int64(waiter->position));
        hf_print_put(object, "ticket", json_object_new_uint64(waiter->ticket));
        hf_print_put(object, "mode", json_object_new_string(mode));
        hf_print_put(object, "metadata", json_object_new_boolean(waiter->metadata != 0));
        hf_print_put(object, "since", hf_print_time(waiter->since));
        hf_print_put(object, "until",
                     waiter->until == UINT64_MAX ? NULL : hf_print_time(waiter->until));
        hf_print_put(object, "wants", hf_print_string(wants ? wants : ""));
        return object;
}

static bool is_for(const struct holdfast_waiter_info *waiter, const char *path,
                   const struct hf_thing *thing)
{
        hf_cleanup_free char *wants = NULL;

        if (thing->kind != HF_THING_NONE && waiter->thing.kind != 0 &&
            waiter->thing.dev == thing->dev && waiter->thing.ino == thing->ino)
                return true;
        wants = path_of(waiter);
        return wants && !strcmp(wants, path);
}

struct json_object *hf_waiters_of(const char *path, const struct hf_thing *thing)
{
        struct json_object *array = json_object_new_array();
        hf_cleanup_free char *whole = hf_lookaside_absolute(path);
        struct holdfast_waiter_list *list;

        if (!whole || holdfast_list_waiters(0, &list, NULL) < 0)
                return array;
        for (size_t i = 0; i < list->n; i++)
                if (is_for(list->waiters[i], whole, thing))
                        (void)json_object_array_add(array, hf_waiters_report(list->waiters[i]));
        holdfast_waiter_list_free(list);
        return array;
}
