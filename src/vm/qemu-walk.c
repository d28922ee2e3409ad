/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vm/qemu-walk.h"

#include "base/cleanup.h"

#include <string.h>

#define MODE_FLAGS  (HF_VM_DISK_READONLY | HF_VM_DISK_SHARED)
#define GIVEN_FLAGS (HF_VM_DISK_BACKING_GIVEN | HF_VM_DISK_DATA_GIVEN)

/* What flows down. */
struct use {
        unsigned flags;
        const char *format; /* NULL: QEMU looks; "": no format node above */
        const char *origin;
        unsigned depth;
};

struct step {
        struct hf_qemu_walk *walk;
        struct use above; /* of the node */
        struct use file;  /* of the child that holds what the node holds */
};

static int walk_node(struct hf_qemu_walk *walk, struct json_object *node, struct use use);

static int add_file(struct hf_qemu_walk *walk, const char *path, const struct use *use)
{
        unsigned flags = use->flags;
        const char *format = use->format;

        if (!*path)
                return 0;
        if (flags & HF_VM_DISK_READONLY)
                flags &= ~(unsigned)HF_VM_DISK_SHARED;
        if (format && !*format)
                format = "raw";
        return hf_vm_spec_add_disk(walk->spec, path, flags, format, use->origin, walk->err);
}

/* Whether a child's value says which file it is. {"driver": "qcow2"} alone only says how
 * to read the one that the image's header names. */
static bool names_a_file(struct json_object *child)
{
        struct json_object *driver = NULL;

        while (json_object_is_type(child, json_type_object)) {
                if (json_object_object_get_ex(child, "filename", NULL))
                        return true;
                if (json_object_object_get_ex(child, "driver", &driver) &&
                    json_object_is_type(driver, json_type_string) &&
                    hf_qemu_driver_kind(json_object_get_string(driver)) == HF_QEMU_DRIVER_FOREIGN)
                        return true;
                if (!json_object_object_get_ex(child, "file", &child))
                        return false;
        }
        return true;
}

static unsigned given_by(struct json_object *node)
{
        struct json_object *child = NULL;
        unsigned flags = 0;

        if (json_object_object_get_ex(node, "backing", &child) && names_a_file(child))
                flags |= HF_VM_DISK_BACKING_GIVEN;
        if (json_object_object_get_ex(node, "data-file", &child) && names_a_file(child))
                flags |= HF_VM_DISK_DATA_GIVEN;
        return flags;
}

static struct use use_of_file(struct json_object *node, const char *driver, const struct use *above)
{
        enum hf_qemu_driver kind = hf_qemu_driver_kind(driver);
        bool top = above->format && !*above->format;
        struct use use = *above;

        if (kind == HF_QEMU_DRIVER_FILTER || (kind == HF_QEMU_DRIVER_RAW && !top))
                return use;
        if (kind == HF_QEMU_DRIVER_NONE && !top)
                return use;
        use.format = driver;
        use.flags = (above->flags & MODE_FLAGS) | given_by(node);
        return use;
}

static int walk_child(void *context, enum hf_qemu_role role, struct json_object *child)
{
        const struct step *step = context;
        struct hf_qemu_walk *walk = step->walk;
        struct use use = role == HF_QEMU_ROLE_FILE ? step->file : step->above;
        const char *name;

        if (role != HF_QEMU_ROLE_FILE)
                use.format = "";
        if (role == HF_QEMU_ROLE_BACKING)
                use.flags = HF_VM_DISK_READONLY;
        else if (role == HF_QEMU_ROLE_DATA)
                use.flags &= MODE_FLAGS;
        else if (role == HF_QEMU_ROLE_SIDE)
                use.flags = 0;
        if (json_object_is_type(child, json_type_object))
                return walk_node(walk, child, use);
        name = json_object_get_string(child);
        if (!walk->resolve || walk->resolve(walk->context, name, &child, &use.origin) < 0)
                return hf_error_set(walk->err, ENOENT, HF_ERR_INVALID_ARG, HF_FROM_LOCKING,
                                    "there is no node '%.64s'", name);
        return walk_node(walk, child, use);
}

static int count_visit(struct hf_qemu_walk *walk, const struct use *use)
{
        if (use->depth < HF_QEMU_WALK_MAX && walk->visits < HF_QEMU_VISITS_MAX) {
                walk->visits++;
                return 0;
        }
        return hf_error_set(walk->err, ELOOP, HF_ERR_INVALID_ARG, HF_FROM_LOCKING,
                            "its nodes use each other in a circle, or too often");
}

/* "read-only" is what the user wants, "force-share" works for readers only. */
static int read_mode(struct hf_qemu_walk *walk, struct json_object *node, unsigned *flags)
{
        static const char *const keys[] = {"read-only", "force-share"};
        bool on = false;
        int r;

        for (size_t i = 0; i < HF_ARRAY_LEN(keys); i++) {
                r = hf_qemu_tree_switch(node, keys[i], &on, walk->err);
                if (r < 0)
                        return r;
                if (r > 0 && on)
                        *flags |= HF_VM_DISK_READONLY;
        }
        return 0;
}

static int walk_node(struct hf_qemu_walk *walk, struct json_object *node, struct use use)
{
        const char *driver, *path;
        enum hf_qemu_driver kind;
        struct step step;
        int r;

        r = count_visit(walk, &use);
        if (r < 0)
                return r;
        r = read_mode(walk, node, &use.flags);
        if (r < 0)
                return r;
        r = hf_qemu_tree_text(node, "driver", &driver, walk->err);
        if (r < 0)
                return r;
        kind = hf_qemu_driver_kind(driver);
        if (kind == HF_QEMU_DRIVER_FOREIGN)
                return 0;
        r = hf_qemu_tree_text(node, "filename", &path, walk->err);
        if (r < 0)
                return r;
        use.depth++;
        if (path)
                return add_file(walk, path, &use);
        step = (struct step){walk, use, use_of_file(node, driver, &use)};
        return hf_qemu_each_child(node, walk_child, &step);
}

int hf_qemu_walk_root(struct hf_qemu_walk *walk, struct json_object *node, unsigned flags,
                      const char *origin)
{
        struct use use = {.flags = flags, .format = "", .origin = origin};

        return walk_node(walk, node, use);
}
