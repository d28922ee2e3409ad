/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Any bytes as a file for -readconfig of a QEMU that has it as its only option.
 */

#include "fuzz.h"

#include "vm/qemu-cmdline.h"

#include <errno.h>
#include <string.h>

static const char *config;

static int read_config(const char *path, char **ret_text, struct hf_error *err)
{
        (void)path;
        *ret_text = strdup(config);
        return *ret_text ? 0 : hf_error_sys(err, ENOMEM, "no memory");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        static const struct hf_qemu_host host = {.read_config = read_config};
        const char *argv[] = {"qemu-kvm", "-readconfig", "seed", NULL};
        struct hf_error err = {0};
        struct hf_vm_spec spec;
        char *text = malloc(size + 1);
        int r;

        FUZZ_PROMISE(text);
        memcpy(text, data, size);
        text[size] = '\0';
        config = text;
        hf_vm_spec_init(&spec);
        r = hf_qemu_parse(argv, &host, &spec, &err);
        FUZZ_PROMISE((r < 0) == (*err.text != '\0'));
        FUZZ_PROMISE(r >= 0 || spec.n_disks == 0);
        hf_vm_spec_free(&spec);
        free(text);
        return 0;
}
