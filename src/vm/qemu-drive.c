/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vm/qemu-drive.h"

#include "base/cleanup.h"
#include "vm/qemu-drivers.h"
#include "vm/qemu-nodes.h"

#include <string.h>

static int no_memory(struct hf_error *err)
{
        return hf_error_sys(err, ENOMEM, "cannot read a drive");
}

static int read_mode(struct json_object *flat, bool snapshot_default, unsigned *ret_flags,
                     struct hf_error *err)
{
        bool snapshot = snapshot_default, read_only = false;
        const char *media;
        int r;

        r = hf_qemu_tree_switch(flat, "snapshot", &snapshot, err);
        if (r < 0)
                return r;
        r = hf_qemu_tree_switch(flat, "readonly", &read_only, err);
        if (r < 0)
                return r;
        r = hf_qemu_tree_text(flat, "media", &media, err);
        if (r < 0)
                return r;
        /* A CD-ROM stays read-only whatever else is said of it. */
        if (snapshot || read_only || (media && strcmp(media, "cdrom") == 0))
                *ret_flags = HF_VM_DISK_READONLY;
        else
                *ret_flags = 0;
        return 0;
}

/* Moves the value at `from` to `to`, unless there is one already. */
static int rename_key(struct json_object *object, const char *from, const char *to)
{
        struct json_object *value = NULL;

        if (!json_object_object_get_ex(object, from, &value))
                return 0;
        if (!json_object_object_get_ex(object, to, NULL)) {
                if (hf_qemu_tree_put(object, to, json_object_get(value)) < 0)
                        return -ENOMEM;
        }
        json_object_object_del(object, from);
        return 0;
}

/* What the name of the file says, laid under what the other keys say. */
static int add_file(struct json_object **tree, const char *filename, struct hf_error *err)
{
        hf_cleanup_json struct json_object *node = NULL, *outer = NULL;
        const char *driver;
        bool whole;
        int r;

        r = hf_qemu_filename_parse(filename, &node, &whole, err);
        if (r < 0)
                return r;
        r = hf_qemu_tree_text(*tree, "driver", &driver, err);
        if (r < 0)
                return r;
        /* format=host_device, driver=file: the node is the file itself */
        if (hf_qemu_driver_kind(driver) == HF_QEMU_DRIVER_LOCAL)
                whole = true;
        if (!whole) {
                outer = json_object_new_object();
                if (!outer || hf_qemu_tree_put(outer, "file", hf_steal_ptr(node)) < 0)
                        return no_memory(err);
        } else {
                outer = hf_steal_ptr(node);
        }
        r = hf_qemu_tree_overlay(outer, *tree, err);
        if (r < 0)
                return r;
        (void)json_object_put(*tree);
        *tree = hf_steal_ptr(outer);
        return 0;
}

int hf_qemu_drive_tree(struct json_object *flat, bool snapshot_default,
                       struct json_object **ret_tree, unsigned *ret_flags, struct hf_error *err)
{
        hf_cleanup_json struct json_object *rest = json_object_new_object(), *tree = NULL;
        const char *filename;
        unsigned flags;
        int r;

        r = rest ? hf_qemu_tree_overlay(rest, flat, err) : no_memory(err);
        if (r < 0)
                return r;
        r = read_mode(flat, snapshot_default, &flags, err);
        if (r < 0)
                return r;
        r = hf_qemu_tree_text(flat, "file", &filename, err);
        if (r < 0)
                return r;
        json_object_object_del(rest, "file");
        if (rename_key(rest, "format", "driver") < 0)
                return no_memory(err);
        r = hf_qemu_tree_expand(rest, &tree, err);
        if (r < 0)
                return r;
        if (filename && *filename) {
                r = add_file(&tree, filename, err);
                if (r < 0)
                        return r;
        }
        *ret_tree = hf_steal_ptr(tree);
        *ret_flags = flags;
        return 0;
}
