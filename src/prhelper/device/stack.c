/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "prhelper/device/stack.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>

#define MULTIPATH_UUID "mpath-"

/* The devices that are to be looked at; those before `next` have been. */
struct walk {
        dev_t todo[HF_STACK_NODES_MAX];
        size_t n, next;
        bool found; /* a map */
        bool other; /* a device with nothing below that is no part of a map */
        dev_t other_device;
        struct hf_stack_map map;
};

bool hf_stack_uuid_is_multipath(const char *uuid)
{
        return strncmp(uuid, MULTIPATH_UUID, strlen(MULTIPATH_UUID)) == 0;
}

/* A device may be below two others: it is looked at once. */
static int add(struct walk *walk, dev_t device, struct hf_error *err)
{
        for (size_t i = 0; i < walk->n; i++) {
                if (walk->todo[i] == device)
                        return 0;
        }
        if (walk->n == HF_STACK_NODES_MAX)
                return hf_error_set(err, E2BIG, HF_ERR_OPERATION_DENIED, HF_FROM_NONE,
                                    "it is made of more than %d devices", HF_STACK_NODES_MAX);
        walk->todo[walk->n++] = device;
        return 0;
}

static int take_map(struct walk *walk, dev_t device, const struct hf_stack_node *node,
                    struct hf_error *err)
{
        if (node->targets > 1)
                return hf_error_set(err, EXDEV, HF_ERR_OPERATION_DENIED, HF_FROM_NONE,
                                    "the mapped device %s has paths for a part of it only",
                                    node->name);
        if (!hf_stack_uuid_is_multipath(node->uuid))
                return hf_error_set(err, EOPNOTSUPP, HF_ERR_OPERATION_DENIED, HF_FROM_NONE,
                                    "the multipath device %s was not made by multipath-tools, "
                                    "so nothing keeps reservations on its paths",
                                    node->name);
        if (walk->found)
                return hf_error_set(err, EXDEV, HF_ERR_OPERATION_DENIED, HF_FROM_NONE,
                                    "it stands on two multipath devices, %s and %s", walk->map.name,
                                    node->name);
        walk->found = true;
        walk->map.device = device;
        (void)snprintf(walk->map.name, sizeof(walk->map.name), "%s", node->name);
        return 0;
}

static int visit(const struct hf_stack_ops *ops, void *context, struct walk *walk, dev_t device,
                 struct hf_error *err)
{
        struct hf_stack_node node = {};
        dev_t below[HF_STACK_NODES_MAX];
        int n;

        n = ops->look(context, device, &node, err);
        if (n < 0)
                return n;
        /* What is below a map are its paths. */
        if (node.mapped && node.multipath > 0)
                return take_map(walk, device, &node, err);
        n = ops->below(context, device, below, HF_STACK_NODES_MAX, err);
        if (n < 0)
                return n;
        if (n == 0) {
                walk->other = true;
                walk->other_device = device;
        }
        for (int i = 0; i < n; i++) {
                int rc = add(walk, below[i], err);

                if (rc < 0)
                        return rc;
        }
        return 0;
}

int hf_stack_find(const struct hf_stack_ops *ops, void *context, dev_t device,
                  struct hf_stack_map *ret, struct hf_error *err)
{
        struct walk walk = {.todo = {device}, .n = 1};

        while (walk.next < walk.n) {
                int rc = visit(ops, context, &walk, walk.todo[walk.next++], err);

                if (rc < 0)
                        return rc;
        }
        if (!walk.found)
                return 0;
        if (walk.other)
                return hf_error_set(err, EXDEV, HF_ERR_OPERATION_DENIED, HF_FROM_NONE,
                                    "it stands on the multipath device %s and on the device %u:%u "
                                    "besides",
                                    walk.map.name, major(walk.other_device),
                                    minor(walk.other_device));
        *ret = walk.map;
        return 1;
}
