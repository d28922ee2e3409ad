/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "driver/sanlock/note-private.h"

#include <stdint.h>

/*
 * Whatever a note says: no fault, and what is taken for one is of the process that its name says,
 * with an action that there is and paths that are absolute.
 */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct hf_sanlock_note *note)
{
        if (note->pid != 7 || note->start != 8 || note->action < 0 ||
            note->action > HF_SANLOCK_ACTION_PAUSE)
                __builtin_trap();
        if ((note->monitor && note->monitor[0] != '/') ||
            (note->run_dir && note->run_dir[0] != '/'))
                __builtin_trap();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        hf_cleanup_sanlock_note struct hf_sanlock_note note = {0};
        struct hf_error error = {0};

        if (hf_sanlock_note_parse((const char *)data, size, "/run/holdfast/sanlock/7-8", &note,
                                  &error) < 0) {
                if (!error.text[0])
                        __builtin_trap();
                return 0;
        }
        check(&note);
        return 0;
}
