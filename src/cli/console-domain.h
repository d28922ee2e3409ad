/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Consoles of libvirt's domains.
 *
 * Such a VM was not started by us, so holdfast-consoled learns of its consoles when somebody
 * attaches: libvirt is asked for the domain's description (virsh dumpxml, read only), which says
 * for each device what it is connected to, and the device is attached to by that path. libvirt is
 * asked only where it runs already, as asking starts a session's.
 */

#include "base/error.h"

#include <stddef.h>
#include <stdint.h>

struct hf_domain_console {
        char *vm; /* the domain's name */
        uint8_t uuid[16];
        char *device; /* its alias, "serial0" */
        char *path;   /* a terminal, or a UNIX socket that QEMU listens at */
};

/*
 * A domain's console. name: its name or uuid, device: an alias ("serial0"), what the guest calls a
 * channel ("org.example.0"), or "" for the first console or serial line, as virsh chooses. Free
 * *ret with hf_domain_console_clear.
 *
 * -ESRCH when no libvirt here knows a running domain of that name. -ENOENT when it has no such
 * device; *err names those that it has. -EOPNOTSUPP for a device that is neither a terminal nor
 * such a socket.
 */
int hf_domain_console_find(const char *name, const char *device, struct hf_domain_console *ret,
                           struct hf_error *err);

/* The same, from the description in text of len bytes. Pure. -EBADMSG when it is none. */
int hf_domain_console_parse(const char *text, size_t len, const char *device,
                            struct hf_domain_console *ret, struct hf_error *err);

void hf_domain_console_clear(struct hf_domain_console *console);

#define hf_cleanup_domain_console hf_cleanup(hf_domain_console_clear)
