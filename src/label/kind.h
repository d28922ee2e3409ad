/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Kinds of labels: how one is read from a file, and put on it. All of them take a descriptor that
 * was opened with O_PATH, so that nothing can come in between the lock and the file, and so that
 * no permission for what is in the file is needed.
 */

#include "label/record.h"

struct hf_label_kind {
        const char *name;
        const char *noun; /* for people: "owner" */
        /* What a user may ask for here, as read would give it back; or a negative errno with *err.
         */
        int (*take)(const char *given, char ret[static HF_LABEL_TEXT_MAX], struct hf_error *err);
        /* The label as it is now. A negative errno, without words. */
        int (*read)(int fd, char ret[static HF_LABEL_TEXT_MAX]);
        /* Puts it on. A negative errno, without words. */
        int (*write)(int fd, const char *label);
};

/* dac.c: "UID:GID". */
extern const struct hf_label_kind hf_label_dac;

/* selinux.c: a context as the kernel has it, not translated for people. */
extern const struct hf_label_kind hf_label_selinux;

#define HF_LABEL_KINDS 2
extern const struct hf_label_kind *const hf_label_kinds[HF_LABEL_KINDS];
