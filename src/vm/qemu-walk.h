/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * One walk from a root of the block graph down to its files; the rules are those told in
 * vm/qemu-nodes.h. Used for the graph of a command line and for the single tree that a
 * name in an image's header may hold.
 */

#include "vm/qemu-drivers.h"
#include "vm/qemu-nodes.h"

struct hf_qemu_walk {
        struct hf_vm_spec *spec; /* where the files are added */

        /* Finds a node by its name and says which option it is from;
         * < 0 if there is none. NULL: no names are known. */
        int (*resolve)(void *context, const char *name, struct json_object **ret_node,
                       const char **ret_origin);
        void *context;

        struct hf_error *err;
        unsigned visits; /* so far, over all roots; starts at 0 */
};

/*
 * Adds the files below `node`, wanted as `flags` says; `origin` is what the spec notes as
 * their origin. Returns as hf_qemu_graph_images.
 */
int hf_qemu_walk_root(struct hf_qemu_walk *walk, struct json_object *node, unsigned flags,
                      const char *origin);
