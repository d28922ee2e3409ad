/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Multipath maps: which devices are one, and with which key multipath registers their paths
 * for persistent reservations.
 */

#include "base/error.h"

#include <stdint.h>
#include <sys/types.h>

/* Longest WWID of multipath-tools. */
#define HF_MULTIPATH_WWID_MAX 128

/* "file", "0x" and sixteen digits, or either with a suffix. */
#define HF_MULTIPATH_KEY_MAX 64

/*
 * The WWID of the multipath map with that device number, as sysfs (usually "/sys") tells. 0, or
 * -ENOENT if it is none.
 */
int hf_multipath_wwid(const char *sysfs, dev_t device, char ret[static HF_MULTIPATH_WWID_MAX]);

/*
 * What a configuration, in the form in which `multipath -t` prints the one in force, has as
 * reservation_key for the map with that WWID: "" if none is set. Of the map's own section, else of
 * the defaults. Pure.
 */
void hf_multipath_key_of(const char *config, const char *wwid,
                         char ret[static HF_MULTIPATH_KEY_MAX]);

/*
 * The same of the configuration in force, by asking multipath. deadline is in
 * nanoseconds of CLOCK_MONOTONIC. -ENOENT: there is no such program; else what running it failed
 * with.
 */
int hf_multipath_key(const char *wwid, uint64_t deadline, char ret[static HF_MULTIPATH_KEY_MAX],
                     struct hf_error *err);
