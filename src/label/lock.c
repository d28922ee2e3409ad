/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Locking images, before anything is looked at. */

#include "label/libvirt-lock.h"
#include "label/scene.h"

#include "base/cleanup.h"
#include "base/clock.h"

#include <string.h>

/* For libvirt's lock, beside what the daemon's may take: as long as that by default. */
#define LIBVIRT_TIMEOUT_MS 60000

static int translate(int r, const struct holdfast_error *error, struct hf_error *err)
{
        int number = error->code == HOLDFAST_E_NO_DAEMON ? ENOTCONN : -r;

        return hf_error_set(err, number,
                            error->code == HOLDFAST_E_BUSY ? HF_ERR_RESOURCE_BUSY : HF_ERR_INTERNAL,
                            HF_FROM_LOCKING, "%s", error->text);
}

static bool is_there(const struct hf_label_locked *locked, const struct hf_label_image *image)
{
        for (size_t i = 0; i < locked->n; i++)
                if (locked->images[i].file.ino == image->file.ino &&
                    locked->images[i].file.dev == image->file.dev)
                        return true;
        return false;
}

/* A hard link is one more name of an image that is there already. */
static int look_at_all(const struct holdfast_metadata_target *targets, size_t n,
                       struct hf_label_locked *locked, struct hf_error *err)
{
        locked->images = calloc(n, sizeof(*locked->images));
        if (!locked->images)
                return hf_error_sys(err, ENOMEM, "cannot list the images");
        for (size_t i = 0; i < n; i++) {
                struct hf_label_image *image = &locked->images[locked->n];
                const char *path = targets[i].path ? targets[i].path : "an image";
                int r = hf_label_image_of(holdfast_metadata_fd(locked->held, i), path, image, err);

                if (r < 0)
                        return r;
                if (!targets[i].path)
                        image->path = image->real;
                if (!is_there(locked, image))
                        locked->n++;
        }
        return 0;
}

/* In the order that libvirt has: two that want the same images never wait for each other. */
static int by_path(const void *a, const void *b)
{
        const struct hf_label_image *const *one = a, *const *two = b;

        return strcmp((*one)->path, (*two)->path);
}

static int lock_for_libvirt(struct hf_label_locked *locked, struct hf_error *err)
{
        hf_cleanup_free const struct hf_label_image **order = calloc(locked->n, sizeof(*order));
        int64_t deadline;
        int r = 0;

        locked->libvirt = calloc(locked->n, sizeof(*locked->libvirt));
        if (!order || !locked->libvirt)
                return hf_error_sys(err, ENOMEM, "cannot list the images");
        for (size_t i = 0; i < locked->n; i++) {
                locked->libvirt[i] = -1;
                order[i] = &locked->images[i];
        }
        qsort(order, locked->n, sizeof(*order), by_path);
        deadline = hf_clock_msec(CLOCK_MONOTONIC) + LIBVIRT_TIMEOUT_MS;
        for (size_t i = 0; i < locked->n && r >= 0; i++)
                r = hf_libvirt_lock(order[i]->fd, order[i]->path, deadline, &locked->libvirt[i],
                                    err);
        return r < 0 ? r : 0;
}

int hf_label_lock(const struct hf_label_scene *scene,
                  const struct holdfast_metadata_target *targets, size_t n,
                  struct hf_label_locked *ret, struct hf_error *err)
{
        hf_cleanup_label_locked struct hf_label_locked locked = {0};
        struct holdfast_error error = {0};
        int r = holdfast_metadata_lock(targets, n, 0, &locked.held, &error);

        if (r < 0)
                return translate(r, &error, err);
        r = look_at_all(targets, n, &locked, err);
        if (r >= 0 && scene->libvirt_lock)
                r = lock_for_libvirt(&locked, err);
        if (r < 0)
                return r;
        *ret = locked;
        locked = (struct hf_label_locked){0};
        return 0;
}

void hf_label_unlock(struct hf_label_locked *locked)
{
        for (size_t i = 0; locked->libvirt && i < locked->n; i++)
                hf_close_fd(&locked->libvirt[i]);
        free(locked->libvirt);
        free(locked->images);
        holdfast_metadata_unlock(locked->held);
        memset(locked, 0, sizeof(*locked));
}
