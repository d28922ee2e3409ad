/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Which backend a command gets, by what its descriptor is:
 *
 *   what `emulate` names      emulated
 *   a mapped block device     mpath, which looks for paths below it and may decline
 *   an NVMe namespace         nvme
 *   everything else           sgio, which lets the kernel say what it is not
 */

#include "prhelper/backends.h"

struct hf_pr_choice {
        enum hf_pr_backend_id backend;
        const char *unit; /* of the emulated backend: the settings' */
};

/* sysfs: where it is mounted. Never fails: what cannot be looked at is as if it were not there. */
void hf_pr_choose(const struct hf_pr_settings *settings, const char *sysfs, int fd,
                  const struct stat *st, struct hf_pr_choice *ret);
