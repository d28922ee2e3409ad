/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Refusals in words, with all that can be found out about who stands in the way. */
#include "driver/sanlock/take.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "driver/sanlock/codes.h"
#include "driver/sanlock/holders.h"

#include <sanlock_admin.h>
#include <sanlock_rv.h>
#include <string.h>

/* The words are worth that much of the caller's time, and no more. */
#define LOOK_NS (5 * 1000000000ULL)

static const char *kind_of(const struct hf_sanlock_lease *lease)
{
        return lease->made ? "disk" : "lease";
}

static void append(struct hf_lock_error *err, const char *words, const char *more)
{
        size_t used = strlen(err->text);

        (void)snprintf(err->text + used, sizeof(err->text) - used, "%s%s", words, more);
}

/* Who it is, of this host or another one. */
static void append_holder(struct hf_lock_error *err, const struct hf_lock_holder *holder)
{
        char words[sizeof(holder->name) + sizeof(holder->state) + 64] = "";

        if (holder->pid)
                (void)snprintf(words, sizeof(words), "by %s%s(pid %d)", holder->name,
                               *holder->name ? " " : "", holder->pid);
        else
                (void)snprintf(words, sizeof(words), "%s", holder->state);
        if (*words)
                append(err, "; ", words);
}

/* Fills *ret; whether anybody was found. */
static bool look(const struct hf_sanlock_take *take, const struct hf_sanlock_lease *lease,
                 struct hf_lock_holder *ret)
{
        hf_cleanup_holders struct hf_sanlock_holders holders = {
                .paths = &take->vm->driver->paths,
                .deadline = hf_clock_nsec(CLOCK_MONOTONIC) + LOOK_NS,
                .self = take->vm->pid,
        };

        if (holders.deadline > take->session->deadline)
                holders.deadline = take->session->deadline;
        return hf_sanlock_holder_of(&holders, lease, ret);
}

static int refuse_stale(const struct hf_sanlock_take *take, const struct hf_sanlock_lease *lease,
                        struct hf_lock_error *err)
{
        const struct sanlk_resource *item = take->demand ? hf_sanlock_state_find(take->demand,
                                                                                 lease->lockspace,
                                                                                 lease->key)
                                                         : NULL;
        struct hf_sanlock_resource now;
        char versions[96] = "";

        hf_sanlock_lease_resource(lease, &now);
        now.res.flags = 0;
        if (item && sanlock_read_resource(&now.res, 0) >= 0)
                (void)snprintf(versions, sizeof(versions), " (version %llu then, %llu now)",
                               (unsigned long long)item->lver, (unsigned long long)now.res.lver);
        return hf_driver_refuse(err, ESTALE, HF_LOCK_E_STALE,
                                "the lease of %s %s was used elsewhere since VM %s was paused%s: "
                                "what is on it may have changed. Do not let the VM go on: stop it, "
                                "and start it anew",
                                kind_of(lease), lease->label, take->vm->name, versions);
}

int hf_sanlock_refuse(const struct hf_sanlock_take *take, const struct hf_sanlock_lease *lease,
                      int rv, struct hf_lock_error *err)
{
        struct hf_lock_holder found = {.size = sizeof(found)};
        int r;

        if (rv == SANLK_ACQUIRE_LVER)
                return refuse_stale(take, lease, err);
        r = hf_sanlock_fail(err, HF_SANLOCK_ACQUIRE, rv, "cannot lock %s %s", kind_of(lease),
                            lease->label);
        if (r != -EBUSY)
                return r;
        if (look(take, lease, &found))
                append_holder(err, &found);
        (void)snprintf(found.resource, sizeof(found.resource), "%s", lease->label);
        if (take->holder) {
                size_t size = take->holder->size < sizeof(found) ? take->holder->size
                                                                 : sizeof(found);

                found.size = take->holder->size;
                memcpy(take->holder, &found, size);
        }
        return r;
}
