/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The driver loader: from a name to a table of functions that can be trusted to
 * be one.
 *
 * A driver NAME is the file NAME.so in $HOLDFAST_DRIVER_DIR, or without that in
 * the directory the library was built for; "nop" is part of the library. A
 * module is refused with the reason if it cannot be opened, has no symbol
 * hf_lock_driver, is for another ABI, or lacks a function.
 */

#include "client/client.h"

struct hf_driver {
        void *module; /* NULL: built in */
        const struct hf_lock_driver *ops;
        void *data; /* from its init */
};

/*
 * Loads, and initialises with *init, whose ctx stays with the driver. On success *ret is
 * ended with hf_driver_unload.
 */
int hf_driver_load(const char *name, const struct hf_lock_init *init, struct hf_driver *ret,
                   struct holdfast_error *err);

/* Harmless on a zeroed struct. */
void hf_driver_unload(struct hf_driver *driver);
