/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Looking by way of the lock driver of the settings, for drivers that know more than a lock
 * daemon would tell: who holds a disk, on whichever host.
 */

#include <holdfast/holdfast.h>
#include <json-c/json.h>
#include <stdbool.h>

/* Whether the settings name a driver that can be asked so. */
bool hf_look_has_driver(void);

/*
 * Appends an object for each who holds the disk at path to array. *ret_first (its size set by the
 * caller) is the first of them; its resource is "" where there is none. Returns how many, or
 * a negative errno with words; -EOPNOTSUPP where the driver cannot be asked so.
 */
int hf_look_at_disk(const char *path, struct json_object *array, struct holdfast_holder *ret_first,
                    struct holdfast_error *err);

/* Prints such an object in one line or two, as explain does. */
void hf_look_print(struct json_object *holder);
