/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The files of -readconfig: sections with a group and perhaps an id, and lines key = "value".
 *
 *     [drive "disk0"]
 *       file = "/var/lib/vm.img"
 *
 * There are no escapes; a line that begins with '#' is nothing. Pure.
 */

#include "vm/qemu-opts.h"

/* QEMU's own files have a few KiB. */
#define HF_QEMU_CONFIG_MAX (1024 * 1024)

/* One section: its keys as hf_qemu_opts_parse gives them, the id under "id". `flat` is the
 * caller's; take a reference to keep it. < 0 ends the reading. */
typedef int hf_qemu_section_fn(void *context, const char *group, struct json_object *flat,
                               struct hf_error *err);

/*
 * Calls `section` for each section, in order. -EINVAL, naming the line, for what is neither a
 * section nor a key; the result of `section` if that is < 0; -ENOMEM.
 */
int hf_qemu_config_parse(const char *text, hf_qemu_section_fn *section, void *context,
                         struct hf_error *err);
