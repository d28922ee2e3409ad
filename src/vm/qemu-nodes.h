/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The block graph: which files a QEMU opens, and how.
 *
 * Each -drive and -blockdev is a tree of nodes (vm/qemu-opts.h). A node is a protocol
 * (a file, a device, a network peer), a format or a filter over other nodes, its
 * children. A child is written in place, or is the name of another node. So all trees
 * together are a graph, and its roots are what the guest sees.
 *
 * From each root the graph is walked down to the local files. Three things flow down:
 *
 *   the mode    The guest writes what a root leads to, except below a node that is
 *               read-only and below the edge "backing": QEMU reads there. A root is
 *               shared if every device that shows it to the guest says share-rw=on.
 *   the format  that of the nearest format node above, as long as that is not a mere
 *               filter: it says whether a file has a header that names more files.
 *   given       whether that format node names its backing file or data file itself.
 *
 * A file that is reached twice is in the result once, with the stronger mode (vm/resources.h).
 * A node that only other nodes use is not a root: what is writable at the file and read-only
 * at the format above it is only read.
 *
 * Pure: no file is touched.
 */

#include "vm/qemu-opts.h"
#include "vm/resources.h"

/* Nodes met on all walks together. A name may be used many times, so that a short text
 * can describe a walk without end; real ones meet fewer than 10 per disk. */
#define HF_QEMU_VISITS_MAX 100000

/* Nodes above one another: two for each backing file that is written out, and libvirt
 * itself stops at 200 of these. */
#define HF_QEMU_WALK_MAX 1024

struct hf_qemu_graph;

/* NULL if out of memory. */
struct hf_qemu_graph *hf_qemu_graph_new(void);
void hf_qemu_graph_free(struct hf_qemu_graph *graph);

/*
 * Adds a tree. `option` is how errors and origins name it ("-drive"), a text that outlives the
 * graph; `text` is the option's value for errors (copied). A top node's "id" names it as
 * "node-name" does. mode: HF_VM_DISK_READONLY for a tree that is only read, or 0.
 * Takes a reference of its own to the tree.
 * -EEXIST: a node of that name is there; -EINVAL: a name that is not a text; -ENOMEM.
 */
int hf_qemu_graph_add(struct hf_qemu_graph *graph, const char *option, const char *text,
                      struct json_object *tree, unsigned mode, struct hf_error *err);

/* Notes that a device shows the node `name` to the guest, and whether it lets others write
 * meanwhile. Call it after all nodes are there; an unknown name is ignored, QEMU refuses it. */
void hf_qemu_graph_show(struct hf_qemu_graph *graph, const char *name, bool share_rw);

/*
 * Adds to *spec every local file that the graph leads to. Errors name the option.
 * -ENOENT: a node that is not there is used; -ELOOP: in a circle, or too deep;
 * -EINVAL: a value of the wrong kind; those of hf_vm_spec_add_disk.
 */
int hf_qemu_graph_images(struct hf_qemu_graph *graph, struct hf_vm_spec *spec,
                         struct hf_error *err);

/*
 * A name of an image as QEMU reads it in `file=`, -hda and the header of an image:
 * a path, PROTOCOL:..., or json:{...}. *ret_node is its tree, the caller's to put; *ret_whole
 * says whether that describes the image with its format (json:) or the file alone.
 * -EINVAL with the reason.
 */
int hf_qemu_filename_parse(const char *name, struct json_object **ret_node, bool *ret_whole,
                           struct hf_error *err);

/* Whether QEMU takes what stands before the first colon for a protocol. */
bool hf_qemu_filename_has_protocol(const char *name);
