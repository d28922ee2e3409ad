/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What is known of QEMU's block drivers: which of them open a file of this machine, which
 * pass the bytes on, and under which keys a node keeps its children. Tables only; a driver
 * that is not in them is taken for an image format.
 */

#include <json-c/json.h>

enum hf_qemu_driver {
        HF_QEMU_DRIVER_NONE,    /* not said: QEMU looks */
        HF_QEMU_DRIVER_LOCAL,   /* opens "filename" on this machine */
        HF_QEMU_DRIVER_FOREIGN, /* opens nothing that could be locked here */
        HF_QEMU_DRIVER_FILTER,  /* hands on what its child has */
        HF_QEMU_DRIVER_RAW,     /* the format without a header */
        HF_QEMU_DRIVER_FORMAT,  /* any other */
};

/* NULL: none said. */
enum hf_qemu_driver hf_qemu_driver_kind(const char *driver);

/* What a child is to its node. */
enum hf_qemu_role {
        HF_QEMU_ROLE_FILE,    /* holds what the node holds */
        HF_QEMU_ROLE_BACKING, /* is read where the node has nothing */
        HF_QEMU_ROLE_DATA,    /* holds the data of an image whose header is elsewhere */
        HF_QEMU_ROLE_SIDE,    /* is written beside what the node holds */
};

/* `child` is a string (the name of a node, never empty) or an object (a node). */
typedef int hf_qemu_child_fn(void *context, enum hf_qemu_role role, struct json_object *child);

/* Calls `fn` for each child of the node; stops at the first result < 0 and returns it. */
int hf_qemu_each_child(struct json_object *node, hf_qemu_child_fn *fn, void *context);
