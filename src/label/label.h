/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Labels: an image belongs to the user, or has the security context, of the VM that uses it, and is
 * given back when the last such VM has ended.
 *
 * What was there before is remembered in a *record* (record.h, store.h), together with the
 * *set* of VMs that use the image so. A set and not a count: a VM that ends without a word would
 * leave a count too high for ever. Of a set each member can be looked at (life.h), and the dead
 * ones are struck out at every look.
 *
 *     use      before a VM starts: it joins each image's users, and the images get the label
 *     settle   later, by anybody: dead users are struck; where none is left, the image gets its
 *              original label back and the record goes
 *
 * Both do what they do under the image's metadata lock. The record is written before the
 * label, and removed after the label was given back: at whatever step a process is killed, the
 * record tells all, and all can be done again. A label that is neither the original nor the one
 * that the VMs wanted was given by somebody who knows nothing of us: it stays.
 *
 * All VMs that use an image at one time want the same label for it. Who wants another one is
 * refused and told who they are. This holds as well where an image has the wanted label to begin
 * with: it counts as used, so that nobody takes it away from under a VM.
 *
 * Users on other hosts (a record in an attribute on a shared filesystem) are never taken for dead
 * but by an explicit word.
 */

#include "label/scene.h"
#include "label/table.h"

#include "base/thing.h"

/* An image that a VM is about to use. */
struct hf_label_wanted_image {
        const char *path;
        bool readonly;         /* the VM does not write it */
        struct hf_thing thing; /* what the path has to lead to; of kind NONE: whatever it is */
};

struct hf_label_want {
        const struct hf_label_kind *kind;
        char label[HF_LABEL_TEXT_MAX]; /* as kind->take has it */
};

/* All that is asked for, for this process, which is the VM or becomes it. */
struct hf_label_use {
        const struct hf_label_wanted_image *images;
        size_t n_images;
        const struct hf_label_want *wants;
        size_t n_wants;
        const char *vm_name;
        const uint8_t *vm_uuid;
        /* Told of what could not be done and stops nothing. */
        void (*warn)(void *ctx, const char *text);
        void *ctx;
};

/*
 * Labels all images, or none: what was done before a failure is undone. *ret_life is to be left
 * open in the VM, see hf_life_begin.
 *
 * -ESTALE: a path leads to something else than it is to. -EPERM: it leads there by a symbolic link
 * that the image's owner did not make, see way.h.
 *
 * An image that the VM only reads, on a read-only filesystem, is left as it is, with a warning.
 * -EBUSY: an image is used with another label; *err names the users. Also what locking, and
 * changing a label, may fail with.
 */
int hf_label_use(const struct hf_label_scene *scene, const struct hf_label_use *use, int *ret_life,
                 struct hf_error *err);

/* What became of a label. */
enum hf_label_outcome {
        HF_LABEL_GIVEN_BACK, /* the original is there again */
        HF_LABEL_FORGOTTEN,  /* it was there already; the record went */
        HF_LABEL_FOREIGN,    /* somebody gave it another, which stays; the record went */
        HF_LABEL_IN_USE,     /* it has users */
        HF_LABEL_GONE,       /* the image was deleted, or made anew; the record went */
        HF_LABEL_MISSING,    /* the image is not found; the record stays */
        HF_LABEL_FAILED,     /* error has the reason; the record stays */
};

struct hf_label_told {
        const char *path;
        const struct hf_label_kind *kind;
        enum hf_label_outcome outcome;
        const struct hf_label_record *record; /* NULL: it could not be read */
        size_t struck;                        /* dead users */
        const struct hf_error *error;
};

/* The word for it: "restored", "forgotten", "foreign", "in-use", "gone", "missing", "failed". */
const char *hf_label_outcome_name(enum hf_label_outcome outcome);

typedef void (*hf_label_told_fn)(void *ctx, const struct hf_label_told *told);

/*
 * Settles one image. Tells of each of its kinds that has, or had, a record. Returns 0 also when a
 * kind failed, of which was told; a negative errno when the image cannot be locked.
 */
int hf_label_settle(const struct hf_label_scene *scene, const char *path, hf_label_told_fn tell,
                    void *ctx, struct hf_error *err);

/* Settles all images of the table, also those that have another name now. Goes on behind faults. */
int hf_label_settle_all(const struct hf_label_scene *scene, hf_label_told_fn tell, void *ctx,
                        struct hf_error *err);

/* As settle_all, but for images that were at one of these paths and are not there any more. */
int hf_label_settle_absent(const struct hf_label_scene *scene, const char *const *paths, size_t n,
                           hf_label_told_fn tell, void *ctx, struct hf_error *err);

/* Forgets all records of an image, whoever uses it, and leaves its labels as they are. */
int hf_label_drop(const struct hf_label_scene *scene, const char *path, struct hf_error *err);

/*
 * The record that counts for an entry of the table, and the label now, for showing: nothing is
 * locked. Returns 1 with *ret (to be cleared) and now ("" where it cannot be read), 0 if the
 * image is not there or has none, -EBADMSG if it is damaged.
 */
int hf_label_show(const struct hf_label_scene *scene, const struct hf_table_entry *entry,
                  struct hf_label_record *ret, char now[static HF_LABEL_TEXT_MAX]);
