/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Any bytes as the start of an image; and what it names, as QEMU would read that name.
 */

#include "fuzz.h"

#include "vm/qcow2-header.h"
#include "vm/qemu-walk.h"

#include <string.h>

static void check_name(const char *name)
{
        struct hf_qemu_walk walk = {0};
        struct json_object *node = NULL;
        struct hf_error err = {0};
        struct hf_vm_spec spec;
        bool whole;

        if (hf_qemu_filename_parse(name, &node, &whole, &err) < 0) {
                FUZZ_PROMISE(*err.text && !node);
                return;
        }
        hf_vm_spec_init(&spec);
        walk.spec = &spec;
        walk.err = &err;
        if (hf_qemu_walk_root(&walk, node, HF_VM_DISK_READONLY, "seed") < 0)
                FUZZ_PROMISE(*err.text);
        hf_vm_spec_free(&spec);
        json_object_put(node);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct hf_qcow2_header *header = malloc(sizeof(*header));
        struct hf_error err = {0};
        int r;

        FUZZ_PROMISE(header);
        FUZZ_PROMISE(hf_qcow2_header_size(data, size) <= HF_QCOW2_HEADER_MAX);
        r = hf_qcow2_header_parse(data, size, header, &err);
        FUZZ_PROMISE((r < 0) == (*err.text != '\0'));
        if (r > 0) {
                FUZZ_PROMISE(header->version >= 1 && header->version <= 3);
                FUZZ_PROMISE(strlen(header->backing_format) <= HF_QCOW2_FORMAT_MAX);
                check_name(header->backing);
                check_name(header->data_file);
        }
        free(header);
        return 0;
}
