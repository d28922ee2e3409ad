/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vm/qemu-drivers.h"

#include "base/cleanup.h"

#include <string.h>

static const struct {
        const char *name;
        enum hf_qemu_driver kind;
} drivers[] = {
        {"file", HF_QEMU_DRIVER_LOCAL},
        {"host_cdrom", HF_QEMU_DRIVER_LOCAL},
        {"host_device", HF_QEMU_DRIVER_LOCAL},
        {"io_uring", HF_QEMU_DRIVER_LOCAL},
        {"nvme-io_uring", HF_QEMU_DRIVER_LOCAL},

        {"ftp", HF_QEMU_DRIVER_FOREIGN},
        {"ftps", HF_QEMU_DRIVER_FOREIGN},
        {"gluster", HF_QEMU_DRIVER_FOREIGN},
        {"http", HF_QEMU_DRIVER_FOREIGN},
        {"https", HF_QEMU_DRIVER_FOREIGN},
        {"iscsi", HF_QEMU_DRIVER_FOREIGN},
        {"iser", HF_QEMU_DRIVER_FOREIGN},
        {"nbd", HF_QEMU_DRIVER_FOREIGN},
        {"nfs", HF_QEMU_DRIVER_FOREIGN},
        {"null-aio", HF_QEMU_DRIVER_FOREIGN},
        {"null-co", HF_QEMU_DRIVER_FOREIGN},
        {"nvme", HF_QEMU_DRIVER_FOREIGN},
        {"rbd", HF_QEMU_DRIVER_FOREIGN},
        {"sheepdog", HF_QEMU_DRIVER_FOREIGN},
        {"ssh", HF_QEMU_DRIVER_FOREIGN},
        {"virtio-blk-vfio-pci", HF_QEMU_DRIVER_FOREIGN},
        {"virtio-blk-vhost-user", HF_QEMU_DRIVER_FOREIGN},
        {"virtio-blk-vhost-vdpa", HF_QEMU_DRIVER_FOREIGN},
        {"vvfat", HF_QEMU_DRIVER_FOREIGN},
        {"vxhs", HF_QEMU_DRIVER_FOREIGN},

        {"blkdebug", HF_QEMU_DRIVER_FILTER},
        {"blklogwrites", HF_QEMU_DRIVER_FILTER},
        {"blkreplay", HF_QEMU_DRIVER_FILTER},
        {"blkverify", HF_QEMU_DRIVER_FILTER},
        {"compress", HF_QEMU_DRIVER_FILTER},
        {"copy-before-write", HF_QEMU_DRIVER_FILTER},
        {"copy-on-read", HF_QEMU_DRIVER_FILTER},
        {"preallocate", HF_QEMU_DRIVER_FILTER},
        {"quorum", HF_QEMU_DRIVER_FILTER},
        {"snapshot-access", HF_QEMU_DRIVER_FILTER},
        {"throttle", HF_QEMU_DRIVER_FILTER},

        {"raw", HF_QEMU_DRIVER_RAW},
};

enum hf_qemu_driver hf_qemu_driver_kind(const char *driver)
{
        if (!driver)
                return HF_QEMU_DRIVER_NONE;
        for (size_t i = 0; i < HF_ARRAY_LEN(drivers); i++)
                if (strcmp(driver, drivers[i].name) == 0)
                        return drivers[i].kind;
        return HF_QEMU_DRIVER_FORMAT;
}

static const struct {
        const char *key;
        enum hf_qemu_role role;
} child_keys[] = {
        {"file", HF_QEMU_ROLE_FILE},       {"image", HF_QEMU_ROLE_FILE},
        {"raw", HF_QEMU_ROLE_FILE},        {"test", HF_QEMU_ROLE_FILE},
        {"backing", HF_QEMU_ROLE_BACKING}, {"data-file", HF_QEMU_ROLE_DATA},
        {"header", HF_QEMU_ROLE_FILE},     {"log", HF_QEMU_ROLE_SIDE},
        {"target", HF_QEMU_ROLE_SIDE},
};

/* Quorum's children: a list, or a group with the keys 0, 1, ... */
#define LIST_KEY "children"

static int one_child(struct json_object *child, enum hf_qemu_role role, hf_qemu_child_fn *fn,
                     void *context)
{
        if (json_object_is_type(child, json_type_object))
                return fn(context, role, child);
        if (json_object_is_type(child, json_type_string) && *json_object_get_string(child))
                return fn(context, role, child);
        return 0;
}

static int each_in_list(struct json_object *list, hf_qemu_child_fn *fn, void *context)
{
        int r = 0;

        if (json_object_is_type(list, json_type_array)) {
                for (size_t i = 0; r >= 0 && i < json_object_array_length(list); i++)
                        r = one_child(json_object_array_get_idx(list, i), HF_QEMU_ROLE_FILE, fn,
                                      context);
        } else if (json_object_is_type(list, json_type_object)) {
                json_object_object_foreach(list, key, child)
                {
                        (void)key;
                        r = one_child(child, HF_QEMU_ROLE_FILE, fn, context);
                        if (r < 0)
                                break;
                }
        }
        return r;
}

int hf_qemu_each_child(struct json_object *node, hf_qemu_child_fn *fn, void *context)
{
        struct json_object *child = NULL;
        int r;

        for (size_t i = 0; i < HF_ARRAY_LEN(child_keys); i++) {
                if (!json_object_object_get_ex(node, child_keys[i].key, &child))
                        continue;
                r = one_child(child, child_keys[i].role, fn, context);
                if (r < 0)
                        return r;
        }
        if (!json_object_object_get_ex(node, LIST_KEY, &child))
                return 0;
        return each_in_list(child, fn, context);
}
