/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * libmpathpersist, loaded when it is first needed: one program for hosts with and without it.
 *
 * Since multipath-tools 0.8.6 the library stands on its own (libmpathpersist_init). The generation
 * before wants functions and variables from the program that loads it; it is refused.
 */

#include "prhelper/device/mpath-abi.h"

#include "base/error.h"

struct hf_mpath_lib {
        hf_mpath_in_fn in;
        hf_mpath_out_fn out;
        int (*connect)(void); /* to multipathd: a descriptor, or -1 with errno; may be NULL */
};

/*
 * Loads the file (HF_MPATH_LIBRARY) and has it read its configuration. It stays until the process
 * ends: it has threads and handlers of its own that know nothing of an end. Returns 0, or
 * -errno with a sentence that says what to do: -ENOENT it is not here, -EPROTO it is too old,
 * -EIO it refused.
 */
int hf_mpath_lib_load(const char *file, struct hf_mpath_lib *ret, struct hf_error *err);

/* Whether multipathd answers at its socket: 0, or -errno with *err. */
int hf_mpath_lib_daemon(const struct hf_mpath_lib *lib, struct hf_error *err);
