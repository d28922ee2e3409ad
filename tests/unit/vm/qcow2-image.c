/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "qcow2-image.h"

#include <endian.h>
#include <string.h>

void qcow2_image_be32(struct qcow2_image *image, size_t at, uint32_t value)
{
        value = htobe32(value);
        memcpy(image->bytes + at, &value, sizeof(value));
}

void qcow2_image_be64(struct qcow2_image *image, size_t at, uint64_t value)
{
        value = htobe64(value);
        memcpy(image->bytes + at, &value, sizeof(value));
}

void qcow2_image_init(struct qcow2_image *image, uint32_t version)
{
        memset(image, 0, sizeof(*image));
        qcow2_image_be32(image, 0, 0x514649fb);
        qcow2_image_be32(image, 4, version);
        qcow2_image_be32(image, 20, 12);
        qcow2_image_be32(image, 100, 104);
        image->extension = version == 1 ? 48 : version == 2 ? 72 : 104;
        image->len = sizeof(image->bytes);
        if (version == 2)
                qcow2_image_be32(image, 100, 0);
}

void qcow2_image_extend(struct qcow2_image *image, uint32_t type, const char *text)
{
        size_t len = strlen(text);

        qcow2_image_be32(image, image->extension, type);
        qcow2_image_be32(image, image->extension + 4, (uint32_t)len);
        memcpy(image->bytes + image->extension + 8, text, len);
        image->extension += 8 + ((len + 7) & ~(size_t)7);
}

void qcow2_image_external(struct qcow2_image *image)
{
        qcow2_image_be64(image, 72, 4);
}

void qcow2_image_back(struct qcow2_image *image, const char *name)
{
        size_t at = image->extension + 8; /* the end mark is eight zero bytes */

        qcow2_image_be64(image, 8, at);
        qcow2_image_be32(image, 16, (uint32_t)strlen(name));
        memcpy(image->bytes + at, name, strlen(name));
}
