/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/reach.h"

#include "cli/print.h"
#include "vm/resources.h"

#include <string.h>

/* Read once; NULL: it cannot be read, and nothing is known. */
static struct hf_mounts *get_mounts(void)
{
        static struct hf_mounts *mounts;
        static bool tried;

        if (!tried && hf_mounts_new(&mounts) < 0)
                mounts = NULL;
        tried = true;
        return mounts;
}

void hf_reach_of(const char *path, const struct hf_thing *thing, struct hf_guarantee_of *ret)
{
        struct hf_mounts *mounts = get_mounts();
        const struct hf_mount *mount = NULL;

        if (mounts && thing->kind == HF_THING_FILE) {
                mount = hf_mounts_of_dev(mounts, thing->dev);
                /* A filesystem of many devices, which is this host's. */
                if (!mount && path)
                        mount = hf_mounts_of_path(mounts, path);
        }
        hf_guarantee_of_mount(mount, thing, ret);
}

static void put(struct json_object *object, unsigned int level, const char *reason)
{
        hf_print_put(object, "guarantee", json_object_new_string(holdfast_guarantee_name(level)));
        hf_print_put(object, "guarantee_reason", reason ? hf_print_string(reason) : NULL);
}

void hf_reach_put(struct json_object *object, const struct hf_guarantee_of *guarantee)
{
        put(object, guarantee->level, guarantee->reason);
}

/* The reason is told where we see what the daemon sees. */
void hf_reach_put_lock(struct json_object *object, const struct holdfast_lock_info *lock)
{
        const struct hf_thing file = {lock->file.kind, lock->file.dev, lock->file.ino};
        struct hf_guarantee_of guarantee;

        hf_reach_of(NULL, &file, &guarantee);
        put(object, lock->guarantee, guarantee.level == lock->guarantee ? guarantee.reason : NULL);
}

char *hf_reach_holder_text(const struct hf_record *record, char text[static HF_HOLDER_TEXT_MAX])
{
        struct holdfast_holder holder = {
                .size = sizeof(holder),
                .pid = record->pid,
                .since = record->since,
        };
        size_t len;

        (void)snprintf(holder.name, sizeof(holder.name), "%s", record->vm);
        (void)snprintf(holder.host, sizeof(holder.host), "%s", record->host);
        (void)snprintf(holder.via, sizeof(holder.via), "%s", record->via);
        len = strlen(hf_holder_text(&holder, text));
        (void)snprintf(text + len, HF_HOLDER_TEXT_MAX - len, ", as its record says");
        return text;
}

struct json_object *hf_reach_report(const struct hf_record *record)
{
        struct json_object *object = json_object_new_object();
        char uuid[HF_VM_UUID_TEXT];

        hf_print_put(object, "name", hf_print_string(record->vm));
        hf_print_put(object, "uuid", json_object_new_string(hf_vm_uuid_format(record->uuid, uuid)));
        hf_print_put(object, "pid", json_object_new_int(record->pid));
        hf_print_put(object, "host", hf_print_string(record->host));
        hf_print_put(object, "since", hf_print_time(record->since));
        hf_print_put(object, "via", hf_print_string(record->via));
        hf_print_put(object, "resource", hf_print_string(record->resource));
        hf_print_put(object, "lockspace",
                     *record->lockspace ? hf_print_string(record->lockspace) : NULL);
        hf_print_put(object, "written", hf_print_time(record->written));
        return object;
}
