/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What a qcow2 image says of other files: pure, over bytes.
 *
 * A qcow2 image names at most two other files in its first cluster: the backing file,
 * which it reads where it has no data of its own, and, with the "external data file"
 * feature, the raw file that holds all of its data. The old qcow (version 1) only knows
 * the former, at the same place. All numbers are big endian. The layout is that of
 * docs/interop/qcow2.txt in QEMU.
 */

#include "base/error.h"

#include <stddef.h>
#include <stdint.h>

/* Largest header: one cluster of the largest size that the format allows. */
#define HF_QCOW2_HEADER_MAX (2u << 20)

/* The format's own limit for the backing file's name, without the ending zero. */
#define HF_QCOW2_BACKING_MAX 1023

/* QEMU's limit for the name of the backing file's format, without the ending zero. */
#define HF_QCOW2_FORMAT_MAX 15

/* The format has no limit for the data file's name; a longer path cannot be opened. */
#define HF_QCOW2_DATA_MAX 4095

/* Each text is empty if the image does not say it. */
struct hf_qcow2_header {
        unsigned version; /* 1 (qcow), 2 or 3 */
        char backing[HF_QCOW2_BACKING_MAX + 1];
        char backing_format[HF_QCOW2_FORMAT_MAX + 1];
        char data_file[HF_QCOW2_DATA_MAX + 1];
};

/*
 * How many bytes of the image hf_qcow2_header_parse wants to see, judged by its first
 * `len` ones (24 are enough): one cluster. 0: not a qcow or qcow2 image.
 */
size_t hf_qcow2_header_size(const void *bytes, size_t len);

/*
 * Reads the header. Returns 1 with *ret filled in, 0 if this is no qcow or qcow2 image,
 * -EINVAL if it is a damaged one or of an unknown version (*ret then is undefined).
 */
int hf_qcow2_header_parse(const void *bytes, size_t len, struct hf_qcow2_header *ret,
                          struct hf_error *err);
