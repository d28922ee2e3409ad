/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Inside hf_qemu_parse: what is kept while a command line is read (qemu-cmdline.c), and what each
 * option does to it (qemu-handlers.c).
 */

#include "vm/qemu-cmdline.h"
#include "vm/qemu-nodes.h"

/* What is done when all options have been seen, in this order: -set and -snapshot change
 * others wherever they stand, and a device may stand before its drive. */
enum hf_qemu_phase {
        HF_QEMU_PHASE_NONE,
        HF_QEMU_PHASE_SET,
        HF_QEMU_PHASE_NODE,
        HF_QEMU_PHASE_DEVICE,
        HF_QEMU_PHASES,
};

/* An option that waits for its phase. */
struct hf_qemu_item {
        struct hf_qemu_item *next;
        const struct hf_qemu_handler *handler;
        const char *text;           /* the option's value; outlives the reading */
        struct json_object *object; /* -drive, -device: flat; -blockdev: a tree */
};

struct hf_qemu_reader {
        struct hf_vm_spec spec;
        struct hf_qemu_graph *graph;
        struct hf_qemu_item *first, **end;
        const struct hf_qemu_host *host; /* may be NULL */
        struct json_object *fdsets;      /* names of descriptor sets, and the paths behind */
        bool snapshot;                   /* -snapshot was there */
        bool program;                    /* QEMU's own name was there */
};

struct hf_qemu_handler {
        const char *option;
        const char *shown; /* to people, in errors and as the origin of a disk */
        int (*read)(struct hf_qemu_reader *reader, const struct hf_qemu_handler *handler,
                    const char *text, struct hf_error *err);
        enum hf_qemu_phase phase;
        int (*finish)(struct hf_qemu_reader *reader, struct hf_qemu_item *item,
                      struct hf_error *err);
        const char *media; /* of the short options */
};

/* The handler of an option (its name without dashes), or of a word alone (NULL). NULL if it says
 * nothing of what the VM holds. */
const struct hf_qemu_handler *hf_qemu_find_handler(const char *option);
