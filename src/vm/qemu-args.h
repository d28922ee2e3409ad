/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The words of a command line that runs QEMU.
 *
 * QEMU takes "-option" and "--option", most with a value in the next word, and takes a word
 * that is neither for the image of the first disk. So one must know which options have a
 * value. What stands before QEMU's own name (numactl, taskset, env) is not QEMU's; and where
 * no word is QEMU's name (a script that passes its arguments on) a word alone means nothing,
 * and only the options that tell of images take a value.
 */

#include <stdbool.h>
#include <stddef.h>

struct hf_qemu_arg {
        const char *option; /* without dashes; NULL: a word alone, in `value` */
        const char *value;  /* the next word; NULL: none was taken */
        bool missing;       /* the option takes a value and the command line ends */
};

struct hf_qemu_args {
        const char *const *next;
        bool program; /* QEMU's own name was found */
};

/* Starts after QEMU's name, or after argv[0] if it is not there. argv ends with NULL. */
void hf_qemu_args_init(struct hf_qemu_args *args, const char *const *argv);

/* The next option or word; false at the end. *ret points into argv. */
bool hf_qemu_args_next(struct hf_qemu_args *args, struct hf_qemu_arg *ret);
