/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The files that images name in their headers.
 *
 * A qcow2 image may read from a backing file, which may have a backing file of its own, and
 * may keep its data in another file. QEMU opens them all: backing files for reading, a data
 * file as the image itself. Their names are QEMU's names of images (a path, PROTOCOL:...,
 * json:{...}); a relative path starts at the folder of the image that names it, by the name
 * under which that image was opened.
 *
 * This is the only file of the readers that opens anything; what it reads is understood by
 * vm/qcow2-header.h and vm/qemu-nodes.h, which are pure. Other formats that have backing
 * files (qed, vmdk) are taken as they are, without them.
 */

#include "vm/resources.h"

/* libvirt stops at 200 as well, and QEMU becomes unusable long before. */
#define HF_IMAGE_CHAIN_MAX 200

/* Images opened for one VM. */
#define HF_IMAGE_OPENS_MAX 10000

/*
 * Adds to *spec the backing and data files of its disks, and theirs. A disk that does not exist
 * or is neither a file nor a block device is left to whoever locks it.
 *
 * -EINVAL: a damaged header; -ELOOP: a chain that comes back to itself, or is too long; a system
 * error: an image is there but cannot be read. The text names the image. *spec then
 * holds some of the files.
 */
int hf_image_chain_add(struct hf_vm_spec *spec, struct hf_error *err);
