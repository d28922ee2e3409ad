/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The way to an image: a user who may write to a directory on it could lead us by a symbolic link
 * to a file that is not his, and would be given it. So links count only if root has made them, or
 * whoever the image belongs to.
 *
 * One step is walked at a time and by descriptors, so that what is looked at is what is followed.
 */

#include "label/store.h"

/*
 * Returns 0 if the image's path still leads to it so. -EPERM: by somebody else's link. -ESTALE: to
 * something else. Also what walking there may fail with.
 */
int hf_label_check_way(const struct hf_label_image *image, struct hf_error *err);
