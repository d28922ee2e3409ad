/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Errors on the wire.
 *
 * struct hf_error and the protocol's error structure say the same in two forms.
 * What libvirt's clients show is `message`, made of a class text and the detail;
 * the class text and the detail travel in str1 and str2 as well. A system
 * error has no class text and carries its errno in int1; an error about
 * unknown flags names who refused in str1.
 */

#include "rpc/message.h"

/* Encodes the error reply to call into buf. Returns its length, or -EMSGSIZE. */
int hf_rpc_put_error(uint8_t *buf, size_t cap, const struct hf_rpc_header *call,
                     const struct hf_error *err);

/*
 * Decodes the payload of an error reply into *ret. Returns the negative errno
 * that stands for it: -EBUSY for a busy resource, the peer's errno for a system
 * error, else one that fits the code; -EBADMSG if it does not decode.
 */
int hf_rpc_get_error(const uint8_t *payload, size_t len, struct hf_error *ret);
