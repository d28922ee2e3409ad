/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vm/qcow2-header.h"

#include <endian.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#define MAGIC 0x514649fbu /* "QFI" and 0xfb */

/* Where the numbers stand. */
#define AT_MAGIC                 0
#define AT_VERSION               4
#define AT_BACKING_OFFSET        8
#define AT_BACKING_SIZE          16
#define AT_CLUSTER_BITS          20
#define AT_INCOMPATIBLE          72
#define AT_HEADER_LENGTH         100

#define LENGTH_V1                48
#define LENGTH_V2                72
#define LENGTH_V3                104

#define CLUSTER_BITS_MIN         9
#define CLUSTER_BITS_MAX         21

#define INCOMPATIBLE_DATA_FILE   (UINT64_C(1) << 2)

#define EXTENSION_END            0
#define EXTENSION_BACKING_FORMAT 0xe2792acau
#define EXTENSION_DATA_FILE      0x44415441u

struct view {
        const uint8_t *bytes;
        size_t len;
};

static uint32_t be32(const struct view *view, size_t at)
{
        uint32_t value;

        memcpy(&value, view->bytes + at, sizeof(value));
        return be32toh(value);
}

static uint64_t be64(const struct view *view, size_t at)
{
        uint64_t value;

        memcpy(&value, view->bytes + at, sizeof(value));
        return be64toh(value);
}

static int damaged(struct hf_error *err, const char *problem)
{
        return hf_error_set(err, EINVAL, HF_ERR_INVALID_ARG, HF_FROM_LOCKING,
                            "damaged qcow2 header: %s", problem);
}

/* Copies a text of `size` bytes at `at`; false if it is not all there or too long. A zero
 * byte in it ends it, as it does for QEMU. */
static bool take_text(const struct view *view, uint64_t at, uint64_t size, char *to, size_t room)
{
        if (size >= room || at > view->len || size > view->len - at)
                return false;
        memcpy(to, view->bytes + at, size);
        to[size] = '\0';
        return true;
}

size_t hf_qcow2_header_size(const void *bytes, size_t len)
{
        struct view view = {bytes, len};
        uint32_t bits;

        if (len < AT_CLUSTER_BITS + 4 || be32(&view, AT_MAGIC) != MAGIC)
                return 0;
        bits = be32(&view, AT_CLUSTER_BITS);
        if (be32(&view, AT_VERSION) < 2 || bits < CLUSTER_BITS_MIN || bits > CLUSTER_BITS_MAX)
                return 64 * 1024;
        return (size_t)1 << bits;
}

static int take_backing(const struct view *view, struct hf_qcow2_header *ret, struct hf_error *err)
{
        uint64_t offset = be64(view, AT_BACKING_OFFSET);

        if (offset == 0)
                return 0;
        if (!take_text(view, offset, be32(view, AT_BACKING_SIZE), ret->backing,
                       sizeof(ret->backing)))
                return damaged(err, "the name of the backing file");
        return 0;
}

static int take_extension(const struct view *view, uint32_t type, size_t at, uint32_t size,
                          bool external, struct hf_qcow2_header *ret, struct hf_error *err)
{
        if (type == EXTENSION_BACKING_FORMAT &&
            !take_text(view, at, size, ret->backing_format, sizeof(ret->backing_format)))
                return damaged(err, "the format of the backing file");
        if (type == EXTENSION_DATA_FILE && external &&
            !take_text(view, at, size, ret->data_file, sizeof(ret->data_file)))
                return damaged(err, "the name of the data file");
        return 0;
}

/* The extensions lie between the header and the backing file's name. */
static int take_extensions(const struct view *view, size_t at, bool external,
                           struct hf_qcow2_header *ret, struct hf_error *err)
{
        uint64_t end = be64(view, AT_BACKING_OFFSET);
        uint32_t type, size;
        int r;

        if (end == 0 || end > view->len)
                end = view->len;
        while (at + 8 <= end) {
                type = be32(view, at);
                size = be32(view, at + 4);
                at += 8;
                if (type == EXTENSION_END)
                        return 0;
                if (size > end - at)
                        return damaged(err, "an extension reaches beyond the header");
                r = take_extension(view, type, at, size, external, ret, err);
                if (r < 0)
                        return r;
                at += ((size_t)size + 7) & ~(size_t)7;
        }
        return 0;
}

static int parse_v2_v3(struct view *view, struct hf_qcow2_header *ret, struct hf_error *err)
{
        size_t length = LENGTH_V2, cluster;
        uint32_t bits;
        bool external = false;
        int r;

        if (view->len < LENGTH_V2 || (ret->version == 3 && view->len < LENGTH_V3))
                return damaged(err, "it ends too early");
        bits = be32(view, AT_CLUSTER_BITS);
        if (bits < CLUSTER_BITS_MIN || bits > CLUSTER_BITS_MAX)
                return damaged(err, "the cluster size");
        cluster = (size_t)1 << bits;
        if (view->len > cluster)
                view->len = cluster;
        if (ret->version == 3) {
                length = be32(view, AT_HEADER_LENGTH);
                external = be64(view, AT_INCOMPATIBLE) & INCOMPATIBLE_DATA_FILE;
        }
        if (ret->version == 3 && (length < LENGTH_V3 || length > view->len))
                return damaged(err, "its length");
        r = take_extensions(view, length, external, ret, err);
        if (r < 0)
                return r;
        return take_backing(view, ret, err);
}

int hf_qcow2_header_parse(const void *bytes, size_t len, struct hf_qcow2_header *ret,
                          struct hf_error *err)
{
        struct view view = {bytes, len};
        int r;

        if (len < 8 || be32(&view, AT_MAGIC) != MAGIC)
                return 0;
        memset(ret, 0, sizeof(*ret));
        ret->version = be32(&view, AT_VERSION);
        switch (ret->version) {
        case 1:
                r = len < LENGTH_V1 ? damaged(err, "it ends too early")
                                    : take_backing(&view, ret, err);
                break;
        case 2:
        case 3:
                r = parse_v2_v3(&view, ret, err);
                break;
        default:
                r = hf_error_set(err, EINVAL, HF_ERR_INVALID_ARG, HF_FROM_LOCKING,
                                 "qcow2 version %u is not known", ret->version);
        }
        return r < 0 ? r : 1;
}
