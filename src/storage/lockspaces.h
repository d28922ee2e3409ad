/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Which disks are locked, and where: the settings of libvirt's lock plugin.
 *
 * They are read from the plugin's own file for QEMU, as it is, and from holdfast.conf, which wins
 * key by key. A key that neither has keeps the plugin's default.
 */

#include "base/conf.h"
#include "base/path.h"

struct hf_lockspaces {
        bool auto_disk_leases;
        bool require_lease_for_disks;
        /* Directories of lock files, absolute; NULL: not set. */
        char *file_lockspace_dir, *lvm_lockspace_dir, *scsi_lockspace_dir;
};

/*
 * config: holdfast.conf at another place than usual, which must then exist, or NULL.
 * notice is told of what has no effect in either file. -EINVAL with file and line when a value
 * makes no sense, or a key of holdfast.conf is there twice; or another negative errno. Free
 * what *ret holds with hf_lockspaces_clear.
 */
int hf_lockspaces_load(const struct hf_paths *paths, const char *config, hf_conf_notice_fn notice,
                       void *ctx, struct hf_lockspaces *ret, struct hf_error *err);

/* Harmless on a zeroed struct. */
void hf_lockspaces_clear(struct hf_lockspaces *settings);
