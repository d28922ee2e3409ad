/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the files about names share with each other and with their tests. */

#include "storage/names.h"

/* An id of LVM as its programs print it, and a NUL. */
#define HF_LVM_ID_SIZE 39

/*
 * The id of the volume at path, from the name and the uuid that the kernel has of the
 * device there. False: it is no volume, or perhaps not the one that lvs would take for
 * that path.
 */
bool hf_name_lvm_id(const char *path, const char *dm_name, const char *dm_uuid,
                    char ret[static HF_LVM_ID_SIZE]);

/* The same, with what is read below sys (usually "/sys"). */
bool hf_name_lvm_kernel(const char *sys, const char *path, char ret[static HF_LVM_ID_SIZE]);

/* Whether an id that udev has can only be the one that scsi_id prints. */
bool hf_name_scsi_is_certain(const char *serial);

/* What udev knows of the disk at path: an id to be freed, or NULL. */
char *hf_name_scsi_udev(const struct hf_name_udev *udev, const char *path);

/* Cuts what a program printed to a name, in place; strip: also white space in front. */
char *hf_name_trim(char *text, bool strip);
