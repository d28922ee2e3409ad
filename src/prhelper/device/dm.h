/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * What the kernel says of a mapped device: its table by device-mapper's own ioctl, which asks for
 * CAP_SYS_ADMIN, and what it is made of by sysfs. A process without that right sees which devices
 * are multipath-tools' own maps, which sysfs tells everybody. Nothing is opened before it is
 * needed: a host without device-mapper runs the helper all the same.
 */

#include "prhelper/device/stack.h"

struct hf_dm {
        int control; /* /dev/mapper/control, or -1 while it is not open */
};

/* context: a struct hf_dm. */
extern const struct hf_stack_ops hf_dm_ops;

/*
 * Opens a mapped device by its number, for reading. Returns the descriptor, or -errno with *err;
 * -ENODEV if the node in /dev is not that device.
 */
int hf_dm_open(dev_t device, struct hf_error *err);

/*
 * The part of the answer of DM_TABLE_STATUS that counts: size bytes with the targets, of which
 * there are `targets`. How many are of type multipath; -EBADMSG if they do not fit.
 */
int hf_dm_count_multipath(const void *data, size_t size, unsigned int targets);
