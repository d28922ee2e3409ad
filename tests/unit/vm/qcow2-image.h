/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Headers of qcow2 images made by hand, to say what qemu-img would not.
 */

#include <stddef.h>
#include <stdint.h>

#define QCOW2_BACKING_FORMAT 0xe2792acau
#define QCOW2_DATA_FILE      0x44415441u

struct qcow2_image {
        uint8_t bytes[4096];
        size_t len;       /* bytes that count */
        size_t extension; /* where the next extension goes */
};

/* An empty image with 4096-byte clusters; len is the whole cluster. */
void qcow2_image_init(struct qcow2_image *image, uint32_t version);

void qcow2_image_be32(struct qcow2_image *image, size_t at, uint32_t value);
void qcow2_image_be64(struct qcow2_image *image, size_t at, uint64_t value);

/* Adds a header extension with a text as its data. */
void qcow2_image_extend(struct qcow2_image *image, uint32_t type, const char *text);

/* Sets the feature bit that lets the data file's name count. */
void qcow2_image_external(struct qcow2_image *image);

/* Puts the backing file's name behind the extensions; call it last. */
void qcow2_image_back(struct qcow2_image *image, const char *name);
