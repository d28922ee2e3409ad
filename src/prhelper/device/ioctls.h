/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * The seam to the kernel of backends that speak in ioctls: tests put a device of their own here.
 */

/* As ioctl, but -errno is what it returns; what is not negative is the device's own status. */
typedef int (*hf_ioctl_fn)(void *context, int fd, unsigned long request, void *argument);

struct hf_ioctls {
        hf_ioctl_fn call;
        void *context;
};
