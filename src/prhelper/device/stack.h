/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * What a mapped device stands on.
 *
 * A disk with several paths is one multipath map, and a reservation has to be made on all its
 * paths at once. Whatever is stacked on the map (a logical volume, a partition, encryption) looks
 * like a plain device to the kernel's SG_IO, which then takes any one path: a registration made so
 * holds on that path alone. So the stack is followed down to the map.
 *
 * A device that stands on a map and on something else besides cannot be reserved as one.
 *
 * The rules are here, without a system call; what the kernel says comes through the ops (dm.h).
 */

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Most devices that are looked at for one request: a volume group of more disks than this is
   refused, as it could not be reserved anyway. */
#define HF_STACK_NODES_MAX 128

/* Room for the name and for the uuid of a mapped device: the kernel's own limits. */
#define HF_STACK_NAME_MAX 128
#define HF_STACK_UUID_MAX 129

/* One block device. A table of device-mapper is a list of targets, each with a type. */
struct hf_stack_node {
        bool mapped;                  /* made by device-mapper; the rest says nothing otherwise */
        unsigned int targets;         /* that its table has */
        unsigned int multipath;       /* how many of them are multipath */
        char name[HF_STACK_NAME_MAX]; /* as in /dev/mapper */
        char uuid[HF_STACK_UUID_MAX]; /* "mpath-..." where multipath-tools made it */
};

/* Whether multipath-tools gave it: its library knows its maps by this, and takes no others. */
bool hf_stack_uuid_is_multipath(const char *uuid);

struct hf_stack_ops {
        int (*look)(void *context, dev_t device, struct hf_stack_node *ret, struct hf_error *err);
        /* The devices that it is made of; how many, or -E2BIG where that is more than room. */
        int (*below)(void *context, dev_t device, dev_t *ret, size_t room, struct hf_error *err);
};

struct hf_stack_map {
        dev_t device;
        char name[HF_STACK_NAME_MAX];
};

/*
 * Finds the map that device is, or stands on. Returns 1 with *ret; 0 if there is none in the stack;
 * -errno with *err (a sentence on the device, for the log) if the stack cannot be looked at, or is
 * one on which a reservation would hold only in part: -EXDEV. -EOPNOTSUPP: a map that is not
 * multipath-tools' own, so that nobody would look after its keys.
 */
int hf_stack_find(const struct hf_stack_ops *ops, void *context, dev_t device,
                  struct hf_stack_map *ret, struct hf_error *err);
