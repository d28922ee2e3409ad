/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Persistent reservations that will fail in the guest, found before it is started: those of a
 * multipath device without a usable key in multipath's configuration. A wrong one shows there as
 * an error that says nothing of the reason.
 */

#include "cli/pr-danger.h"

#include "base/clock.h"
#include "storage/multipath.h"

#include <string.h>

/* multipath -t reads files and asks nobody. */
#define MULTIPATH_TIMEOUT_NS (5 * UINT64_C(1000000000))

/* QEMU's object; its name stands in a word of -object, as key=value or as JSON. */
static bool asks_helper(char *const *vmm)
{
        for (; vmm && *vmm; vmm++)
                if (strstr(*vmm, "pr-manager-helper"))
                        return true;
        return false;
}

static void tell_missing(const char *path, hf_danger_fn tell, void *ctx)
{
        struct hf_danger danger = {.key = "no-reservation-key"};

        (void)snprintf(danger.text, sizeof(danger.text),
                       "%s is a multipath device, and multipath has no reservation_key for it: "
                       "every reservation of the VM will fail; set 'reservation_key file' in the "
                       "defaults of multipath.conf and let multipathd read it",
                       path);
        tell(ctx, &danger);
}

static void tell_fixed(const char *path, const char *key, hf_danger_fn tell, void *ctx)
{
        struct hf_danger danger = {.key = "fixed-reservation-key"};

        (void)snprintf(danger.text, sizeof(danger.text),
                       "%s is a multipath device with 'reservation_key %s': reservations of the VM "
                       "will fail unless its guest uses just that key, which one that chooses its "
                       "key itself does not; 'reservation_key file' takes any",
                       path, key);
        tell(ctx, &danger);
}

void hf_pr_dangers_of_image(const struct hf_plan_image *image, char *const *vmm, hf_danger_fn tell,
                            void *ctx)
{
        char wwid[HF_MULTIPATH_WWID_MAX], key[HF_MULTIPATH_KEY_MAX];

        if (image->thing.kind != HF_THING_BLOCK || !asks_helper(vmm) ||
            hf_multipath_wwid("/sys", (dev_t)image->thing.dev, wwid) < 0)
                return;
        if (hf_multipath_key(wwid, hf_clock_nsec(CLOCK_MONOTONIC) + MULTIPATH_TIMEOUT_NS, key,
                             NULL) < 0)
                return;
        if (!*key)
                tell_missing(image->path, tell, ctx);
        else if (strncmp(key, "file", 4) != 0)
                tell_fixed(image->path, key, tell, ctx);
}
