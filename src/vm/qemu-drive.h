/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The older way to name an image: -drive, and the options that are short for one.
 *
 * A -drive mixes in one list what the guest sees (if=, index=, media=), what the file is
 * (file=, a name with protocols; format=) and keys of the block graph as -blockdev has them
 * (file.driver=, backing.file.filename=). Here it becomes a tree of the graph.
 *
 * Pure.
 */

#include "vm/qemu-opts.h"

/*
 * *flat: the keys of one -drive (hf_qemu_opts_parse). *ret_tree: its node, the caller's to
 * put. *ret_flags: HF_VM_DISK_READONLY where QEMU opens it for reading only (readonly=on,
 * media=cdrom, snapshot=on), else 0. snapshot_default: -snapshot was given.
 * -EINVAL with the reason.
 */
int hf_qemu_drive_tree(struct json_object *flat, bool snapshot_default,
                       struct json_object **ret_tree, unsigned *ret_flags, struct hf_error *err);
