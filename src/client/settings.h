/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * holdfast.conf, as far as the library itself reads it. The keys of drivers are known
 * by name only, so that they do not count as unknown; each driver reads its own.
 */

#include "client/client.h"

#include <stdbool.h>

struct hf_client_settings {
        char *lock_manager; /* NULL: not said */
        bool keep_descriptors;
        bool monitor;
        int on_lost; /* an index of enum holdfast_on_lost, less 1; -1: as the daemon is set */
};

/*
 * Reads the file at path, which must exist, or with NULL that of the usual place. notice
 * is told of keys that nobody knows. -EINVAL, or another negative errno, with
 * HOLDFAST_E_CONFIG and file and line; a key that is there twice is one of these
 * errors. Clear *ret with hf_client_settings_clear.
 */
int hf_client_settings_read(const char *path, void (*notice)(void *ctx, const char *text),
                            void *ctx, struct hf_client_settings *ret, struct holdfast_error *err);

/* Harmless on a zeroed struct. */
void hf_client_settings_clear(struct hf_client_settings *settings);
