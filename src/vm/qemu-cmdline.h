/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What a QEMU command line says that the VM holds.
 *
 * The command line is read in steps, each in its own file:
 *
 *   qemu-args      words into options with values
 *   qemu-handlers  what each option says
 *   qemu-opts      the text of one option into a tree
 *   qemu-config    a file for -readconfig into options
 *   qemu-drive     -drive, -hda and so on into a node of the block graph
 *   qemu-nodes     all nodes into one graph, walked down to the files
 *   qemu-host      what is needed of this machine
 *   image-chain    the files into those that their headers name
 *
 * All but the last two are pure and together are hf_qemu_parse. The aim is to find each file that
 * QEMU would open, in the mode in which it would open it: for writing is exclusive, for
 * reading is HF_VM_DISK_READONLY, and HF_VM_DISK_SHARED where every device that shows it
 * has share-rw=on. A line that QEMU itself would refuse may be refused or read in any way,
 * but a file that QEMU would write is never left out in silence.
 *
 * Not seen, because they are no block devices: -kernel, -initrd, -bios, shared folders,
 * memory backends. Network disks (nbd, rbd, http, ...) are not files of this machine.
 */

#include "vm/resources.h"

/* What the command line refers to on this machine. A function that fails sets the error. */
struct hf_qemu_host {
        /* The text of a file for -readconfig; the caller's to free. */
        int (*read_config)(const char *path, char **ret_text, struct hf_error *err);
        /* The path of a descriptor that this process hands down to QEMU. 1: *ret_path is set, the
         * caller's to free; 0: it is no file with a path. */
        int (*fd_path)(int fd, char **ret_path, struct hf_error *err);
};

/*
 * Reads argv (ending with NULL) and adds the images, the name and the UUID to *spec. What is
 * already in *spec stays: its name and UUID count, its disks are strengthened only. Nothing is
 * opened here: backing files are found only where the command line names them, and without
 * a host (NULL) -readconfig is passed over and descriptors keep the name of their set.
 *
 * argv[0] may be QEMU, or something that runs it; without any QEMU option nothing is added and
 * that is no error. -EINVAL or another error naming the option if one cannot be
 * understood; *spec then is as it was.
 */
int hf_qemu_parse(const char *const *argv, const struct hf_qemu_host *host, struct hf_vm_spec *spec,
                  struct hf_error *err);

/* Whether a word of argv is QEMU's own name, and not rather a value of what runs something. */
bool hf_qemu_is_run(const char *const *argv);

/*
 * Whether argv runs QEMU as a machine, by a name that is QEMU's and as who we are, so that options
 * may be put behind it that name files of ours: not a program of another name that may become
 * QEMU, nor what gives it another user or other files (sudo, unshare), nor its storage daemon.
 */
bool hf_qemu_takes_config(const char *const *argv);

struct hf_qemu_options {
        bool no_backing; /* do not open images to find their backing and data files */
};

/*
 * As hf_qemu_parse in the process that will become QEMU (its descriptors and its current folder
 * count), and then hf_image_chain_add (vm/image-chain.h) for what was found, unless
 * no_backing. options may be NULL. *spec is as it was on any error.
 */
int hf_qemu_read(const char *const *argv, const struct hf_qemu_options *options,
                 struct hf_vm_spec *spec, struct hf_error *err);
