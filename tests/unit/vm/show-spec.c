/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Prints the disks of the command line that is given as arguments, one a line (see
 * spec-text.h). Exit status 1 and the error's text if it cannot be understood.
 */

#include "spec-text.h"
#include "vm/qemu-cmdline.h"

#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv)
{
        struct hf_vm_spec spec;
        struct hf_error err;
        char *text;

        (void)argc;
        hf_vm_spec_init(&spec);
        if (hf_qemu_read((const char *const *)(argv + 1), NULL, &spec, &err) < 0) {
                fprintf(stderr, "%s\n", err.text);
                return 1;
        }
        text = spec_text(&spec);
        if (text)
                fputs(text, stdout);
        free(text);
        hf_vm_spec_free(&spec);
        return text ? 0 : 1;
}
