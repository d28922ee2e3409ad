/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The settings of leases: holdfast.conf, and for what it does not say qemu-sanlock.conf. */

#include "base/conf.h"
#include "base/error.h"
#include "base/path.h"

#include <stdbool.h>
#include <sys/types.h>

struct hf_sanlock_settings {
        bool auto_disk_leases;        /* a lease for each disk, made where there is none */
        bool require_lease_for_disks; /* a VM with a disk of its own and no lease is refused */
        char *disk_lease_dir;         /* absolute, without blanks */
        unsigned int host_id;         /* 1 to 2000; 0: not set */
        unsigned int io_timeout;      /* seconds; 0: the daemon's usual, 10 */
        uid_t user;                   /* owner of the files; (uid_t)-1: as they are made */
        gid_t group;                  /* the same */
};

/* config: path of holdfast.conf, which must exist then; NULL: the usual place. */
int hf_sanlock_settings_load(const struct hf_paths *paths, const char *config,
                             hf_conf_notice_fn notice, void *ctx, struct hf_sanlock_settings *ret,
                             struct hf_error *err);
void hf_sanlock_settings_clear(struct hf_sanlock_settings *settings);
