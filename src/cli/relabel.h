/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * run --user, --selinux-label: images that are the VM's for as long as it lives.
 *
 *     prepare   before the fork: the wishes are read and judged
 *     enter     in the process that becomes the VMM, once it has its locks: images are labelled,
 *               then the process becomes the user
 *     leave     in the one that waited for it: labels go back, unless the VM, or another one,
 *               goes on
 *
 * Images that only the header of another one names are nobody's to be given: whoever writes a
 * header could have any file of the host that way. They stay as they are, and the user has to be
 * able to use them so.
 */

#include "cli/identity.h"
#include "cli/plan.h"
#include "label/label.h"

struct hf_relabel {
        bool has_user;
        struct hf_identity who;
        struct hf_label_want wants[HF_LABEL_KINDS];
        size_t n_wants; /* 0: nothing is asked for */
        struct hf_label_scene scene;
        /* Where the images are, without links: these may lead elsewhere when the VM has ended. */
        char **places;
        size_t n_places;
};

/* Returns 0, or a negative errno with *ret_status, and the fault was reported. */
int hf_relabel_prepare(struct hf_plan *plan, struct hf_relabel *ret, int *ret_status);
void hf_relabel_clear(struct hf_relabel *relabel);

#define hf_cleanup_relabel hf_cleanup(hf_relabel_clear)

/* An exit status; HF_EXIT_OK to go on. What is wrong was reported. */
int hf_relabel_enter(const struct hf_relabel *relabel, const struct hf_plan *plan,
                     const uint8_t vm_uuid[static 16]);

/* Reports what could not be given back. */
void hf_relabel_leave(const struct hf_relabel *relabel);

/* Of this host, for a scene. */
struct hf_label_host hf_relabel_host(void);

/* The exit status for an error of the label room. */
int hf_relabel_status(int r);
