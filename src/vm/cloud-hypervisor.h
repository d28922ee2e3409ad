/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What a cloud-hypervisor command line says that the VM holds.
 *
 *   --disk path=PATH[,readonly=on]...      several in one option, or in several
 *   --pmem file=PATH[,discard_writes=on]...
 *
 * An option's parts have commas between them, but for those within quotes or brackets. What
 * it has besides these images (kernel, firmware, sockets of vhost-user disks, shared
 * folders) is no disk. A VM that is made later, over its API socket, is not seen.
 *
 * Unlike QEMU it locks an image from its first byte to its last, for writing unless it is
 * read-only, with locks of the same kind as ours: see HOLDFAST_VM_LOCKS_IMAGES.
 */

#include "vm/resources.h"

/*
 * The place of cloud-hypervisor in a command line (ending with NULL) that is, or runs, it; or
 * -ENOENT. It is known by its name, as it is released. What begins with QEMU is QEMU's.
 */
int hf_cloud_hypervisor_find(const char *const *argv);

/*
 * Adds the images that follow the place at argv to *spec, and what qcow2 images among them name
 * in their headers unless no_backing. -EINVAL when an option cannot be understood, or as
 * hf_image_chain_add; *spec then holds some of them.
 */
int hf_cloud_hypervisor_read(const char *const *argv, bool no_backing, struct hf_vm_spec *spec,
                             struct hf_error *err);
