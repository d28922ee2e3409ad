/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Any words as a command line: one word a line (or ended by a zero byte, as in
 * /proc/PID/cmdline). No file is touched.
 */

#include "fuzz.h"

#include "vm/qemu-cmdline.h"

#include <string.h>

#define WORDS_MAX 64

static void check_found(const struct hf_vm_spec *spec)
{
        FUZZ_PROMISE(spec->n_disks <= HF_VM_DISKS_MAX && spec->n_leases == 0);
        for (size_t i = 0; i < spec->n_disks; i++) {
                const struct hf_vm_disk *disk = &spec->disks[i];

                FUZZ_PROMISE(*disk->path && strlen(disk->path) < HF_VM_PATH_MAX);
                FUZZ_PROMISE(disk->from);
                FUZZ_PROMISE(hf_vm_spec_find_disk(spec, disk->path) == disk);
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        const char *argv[WORDS_MAX + 1];
        struct hf_error err = {0};
        struct hf_vm_spec spec;
        size_t n = 0;
        char *text = malloc(size + 1);

        FUZZ_PROMISE(text);
        memcpy(text, data, size);
        text[size] = '\0';
        for (size_t at = 0; at < size && n < WORDS_MAX; at += strlen(text + at) + 1) {
                text[at + strcspn(text + at, "\n")] = '\0';
                argv[n++] = text + at;
        }
        argv[n] = NULL;

        hf_vm_spec_init(&spec);
        if (hf_qemu_parse(argv, NULL, &spec, &err) < 0) {
                FUZZ_PROMISE(spec.n_disks == 0 && !spec.name && !spec.has_uuid);
                FUZZ_PROMISE(*err.text);
        } else {
                FUZZ_PROMISE(!*err.text);
                check_found(&spec);
        }
        hf_vm_spec_free(&spec);
        free(text);
        return 0;
}
