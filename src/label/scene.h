/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What all that is done to labels needs: the host, the table, the lives, and the locks.
 */

#include "label/life.h"
#include "label/store.h"

#include <holdfast/holdfast.h>

struct hf_label_scene {
        struct hf_label_host host;
        struct hf_label_store store;
        char *table_dir, *life_dir;
        bool libvirt_lock;     /* libvirt_metadata_lock of holdfast.conf */
        const char *gone_host; /* name or machine id: its users count as dead. NULL: no host's */
};

/*
 * Fills *ret: from the usual places and holdfast.conf. host has to be known: -ENOTSUP where the
 * machine has no id. Nothing is made. Clear *ret with hf_label_scene_clear.
 */
int hf_label_scene_init(const struct hf_label_host *host, struct hf_label_scene *ret,
                        struct hf_error *err);
void hf_label_scene_clear(struct hf_label_scene *scene);

#define hf_cleanup_label_scene __attribute__((cleanup(hf_label_scene_clear)))

/* As hf_life_of, with what was said about hosts that are gone. */
enum hf_label_life hf_label_life_of(const struct hf_label_scene *scene,
                                    const struct hf_label_user *user);

/* Images that are locked: nobody else changes their labels or records. */
struct hf_label_locked {
        struct holdfast_metadata *held;
        struct hf_label_image *images; /* one for each inode, in the order of asking */
        size_t n;
        int *libvirt; /* descriptors that have libvirt's lock too, n of them, or NULL */
};

/*
 * Locks n targets, all at once or none; the images' paths are those of the targets, for a
 * descriptor what the kernel calls it. May wait for a minute. -EBUSY with who has one,
 * -ENOTCONN where no lock daemon answers, and what opening a path may give.
 */
int hf_label_lock(const struct hf_label_scene *scene,
                  const struct holdfast_metadata_target *targets, size_t n,
                  struct hf_label_locked *ret, struct hf_error *err);
void hf_label_unlock(struct hf_label_locked *locked);

#define hf_cleanup_label_locked __attribute__((cleanup(hf_label_unlock)))

/* Takes dead users out of the record. Returns how many. */
size_t hf_label_strike_dead(const struct hf_label_scene *scene, struct hf_label_record *record);

enum hf_label_end {
        HF_LABEL_RESTORED,  /* the original label is there again */
        HF_LABEL_UNCHANGED, /* it was there still */
        HF_LABEL_OVERTAKEN, /* somebody has given it a label of his own, which stays */
};

/*
 * Gives a label back whose record has no users, then forgets the record. On error the
 * record is still there, and all can be done again.
 */
int hf_label_give_back(const struct hf_label_scene *scene, const struct hf_label_image *image,
                       const struct hf_label_kind *kind, const struct hf_label_record *record,
                       enum hf_label_end *ret, struct hf_error *err);
