/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "spec-text.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static char mode(unsigned flags)
{
        if (flags & HF_VM_DISK_READONLY)
                return 'R';
        return flags & HF_VM_DISK_SHARED ? 'S' : 'W';
}

char *spec_text(const struct hf_vm_spec *spec)
{
        char *text = NULL;
        size_t size;
        FILE *out = open_memstream(&text, &size);

        if (!out)
                return NULL;
        for (size_t i = 0; i < spec->n_disks; i++) {
                const struct hf_vm_disk *disk = &spec->disks[i];

                fprintf(out, "%c %s %s%s%s\n", mode(disk->flags), disk->path,
                        disk->format ? disk->format : "?",
                        disk->flags & HF_VM_DISK_BACKING_GIVEN ? " +backing" : "",
                        disk->flags & HF_VM_DISK_DATA_GIVEN ? " +data" : "");
        }
        for (size_t i = 0; i < spec->n_leases; i++)
                fprintf(out, "lease %s %s %s %" PRIu64 "\n", spec->leases[i].lockspace,
                        spec->leases[i].key, spec->leases[i].path, spec->leases[i].offset);
        fclose(out);
        return text;
}
