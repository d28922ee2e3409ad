/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "driver/sanlock/take.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "driver/sanlock/codes.h"
#include "driver/sanlock/lockspace.h"

#include <sanlock_resource.h>
#include <sanlock_rv.h>
#include <string.h>

/* A daemon is done with a release, or another's acquire, in some turns of the disk. */
#define BUSY_PATIENCE_NS (500 * 1000000ULL)
#define BUSY_PAUSE_NS    20000000L

/* Another host's plugin formats a file in place, 1 MiB of a disk that may be slow. */
#define FORMAT_PATIENCE_NS (8 * 1000000000ULL)
#define FORMAT_PAUSE_NS    100000000L

const struct sanlk_resource *hf_sanlock_take_demanded(const struct hf_sanlock_take *take,
                                                      const struct hf_sanlock_lease *lease)
{
        const struct sanlk_resource *item;

        if (!take->demand || lease->shared)
                return NULL;
        item = hf_sanlock_state_find(take->demand, lease->lockspace, lease->key);
        return item && (item->flags & SANLK_RES_LVER) ? item : NULL;
}

static void demand_version(const struct hf_sanlock_take *take, const struct hf_sanlock_lease *lease,
                           struct sanlk_resource *res)
{
        const struct sanlk_resource *item = hf_sanlock_take_demanded(take, lease);

        if (!item)
                return;
        res->flags |= SANLK_RES_LVER;
        res->lver = item->lver;
}

static int acquire(struct hf_sanlock_take *take, const struct hf_sanlock_lease *lease)
{
        struct sanlk_options options = {0};
        struct hf_sanlock_resource wanted;
        struct sanlk_resource *arg = &wanted.res;
        int rv;

        hf_sanlock_lease_resource(lease, &wanted);
        demand_version(take, lease, &wanted.res);
        (void)snprintf(options.owner_name, sizeof(options.owner_name), "%s", take->vm->who.name);
        if (!take->own) {
                rv = sanlock_acquire(-1, take->vm->who.pid, SANLK_ACQUIRE_OWNER_NOWAIT, 1, &arg,
                                     &options);
                return rv == -1 ? -ECONNRESET : rv;
        }
        hf_sanlock_session_limit(take->session);
        rv = sanlock_acquire(take->session->fd, -1, SANLK_ACQUIRE_OWNER_NOWAIT, 1, &arg, &options);
        return hf_sanlock_session_result(take->session, rv);
}

static int convert(const struct hf_sanlock_take *take, const struct hf_sanlock_lease *lease,
                   bool to_shared)
{
        struct hf_sanlock_resource res;

        hf_sanlock_lease_resource(lease, &res);
        res.res.flags = to_shared ? SANLK_RES_SHARED : 0;
        return sanlock_convert(-1, take->vm->who.pid, SANLK_CONVERT_OWNER_NOWAIT, &res.res);
}

static int stale(struct hf_sanlock_take *take, const struct hf_sanlock_lease *lease,
                 struct hf_lock_error *err)
{
        return hf_sanlock_refuse(take, lease, SANLK_ACQUIRE_LVER, err);
}

/* It is held here: by the VM itself? Returns how, or a negative errno. */
static int find_own(struct hf_sanlock_take *take, const struct hf_sanlock_lease *lease,
                    struct hf_lock_error *err)
{
        hf_cleanup(hf_sanlock_state_clear) struct hf_sanlock_state held = {0};
        struct hf_sanlock_resource wanted;
        const struct sanlk_resource *item;
        int r, rv;

        if (take->own)
                return hf_sanlock_refuse(take, lease, -EEXIST, err);
        r = hf_sanlock_state_of(take->vm->who.pid, &held, err);
        if (r < 0)
                return r;
        item = hf_sanlock_state_find(&held, lease->lockspace, lease->key);
        if (!item)
                return hf_sanlock_refuse(take, lease, -EEXIST, err);
        hf_sanlock_lease_resource(lease, &wanted);
        demand_version(take, lease, &wanted.res);
        if ((wanted.res.flags & SANLK_RES_LVER) && (item->flags & SANLK_RES_LVER) &&
            item->lver != wanted.res.lver)
                return stale(take, lease, err);
        if (!(item->flags & SANLK_RES_SHARED) == !lease->shared)
                return HF_SANLOCK_HAD;
        rv = convert(take, lease, lease->shared);
        return rv < 0 ? hf_sanlock_refuse(take, lease, rv, err) : HF_SANLOCK_CONVERTED;
}

/* Whether there is time to try again, of that much since the first time; waits then. */
static bool have_patience(const struct hf_sanlock_take *take, uint64_t *since, uint64_t most,
                          long pause_ns)
{
        const struct timespec pause = {.tv_nsec = pause_ns};
        uint64_t now = hf_clock_nsec(CLOCK_MONOTONIC);

        if (!*since)
                *since = now;
        if (now - *since >= most || now >= take->session->deadline)
                return false;
        (void)nanosleep(&pause, NULL);
        return true;
}

/* The lockspace is not there: that of disks is joined, and its file made where there is none. */
static int join(struct hf_sanlock_take *take, const struct hf_sanlock_lease *lease,
                struct hf_lock_error *err)
{
        hf_cleanup(hf_sanlock_lockspace_clear) struct hf_sanlock_lockspace lockspace = {0};
        const struct hf_sanlock_settings *settings = &take->vm->driver->settings;
        int r;

        if (!lease->made || take->joined)
                return hf_sanlock_refuse(take, lease, -ENOSPC, err);
        take->joined = true;
        r = hf_sanlock_lockspace_of_disks(settings, &lockspace, err);
        if (r < 0)
                return r;
        if (settings->host_id)
                r = hf_sanlock_lockspace_make(settings, &lockspace, err);
        if (r < 0 && r != -EEXIST)
                return r;
        return hf_sanlock_lockspace_join(&lockspace, take->session->deadline, err);
}

/*
 * What can be done about a refusal. Returns HF_SANLOCK_NOT_TAKEN to try again, another enum
 * hf_sanlock_taken, or a negative errno.
 */
static int mend(struct hf_sanlock_take *take, const struct hf_sanlock_lease *lease, int rv,
                uint64_t *since, struct hf_lock_error *err)
{
        int r;

        switch (rv) {
        case -EEXIST:
                r = find_own(take, lease, err);
                if (r != -EBUSY || !take->gone ||
                    !have_patience(take, since, BUSY_PATIENCE_NS, BUSY_PAUSE_NS))
                        return r;
                return HF_SANLOCK_NOT_TAKEN;
        case -ENOSPC:
                return join(take, lease, err);
        case -ENOENT:
        case SANLK_LEADER_MAGIC:
        case SANLK_LEADER_RESOURCE:
                if (!lease->made ||
                    ((rv != -ENOENT || *since) &&
                     !have_patience(take, since, FORMAT_PATIENCE_NS, FORMAT_PAUSE_NS)))
                        break;
                *since = *since ? *since : hf_clock_nsec(CLOCK_MONOTONIC);
                return hf_sanlock_lease_make(&take->vm->driver->settings, lease, err);
        case -EAGAIN:
        case -EBUSY:
        case SANLK_ACQUIRE_SHRETRY:
                if (!have_patience(take, since, BUSY_PATIENCE_NS, BUSY_PAUSE_NS))
                        break;
                return HF_SANLOCK_NOT_TAKEN;
        default:
                break;
        }
        return hf_sanlock_refuse(take, lease, rv, err);
}

static int take_one(struct hf_sanlock_take *take, size_t i, struct hf_lock_error *err)
{
        uint64_t since = 0;

        for (;;) {
                int rv = acquire(take, &take->vm->leases[i]), r = HF_SANLOCK_TAKEN;

                if (rv < 0)
                        r = mend(take, &take->vm->leases[i], rv, &since, err);
                if (r < 0)
                        return r;
                take->taken[i] = (enum hf_sanlock_taken)r;
                if (r != HF_SANLOCK_NOT_TAKEN)
                        return 0;
        }
}

/* Those of which a version is demanded come last: to take one and give it back changes that. */
static int take_some(struct hf_sanlock_take *take, bool demanded, struct hf_lock_error *err)
{
        int r = 0;

        for (size_t i = 0; i < take->vm->n && r >= 0; i++)
                if (!hf_sanlock_take_demanded(take, &take->vm->leases[i]) == !demanded)
                        r = take_one(take, i, err);
        return r;
}

/* What has been taken of what was demanded has a new version now, which is no use of others. */
static void note_versions(struct hf_sanlock_take *take)
{
        hf_cleanup(hf_sanlock_state_clear) struct hf_sanlock_state held = {0};
        struct hf_lock_error ignored = {.size = sizeof(ignored)};

        if (!take->demand || take->demand->n == 0 ||
            hf_sanlock_state_of(take->vm->who.pid, &held, &ignored) < 0)
                return;
        (void)hf_sanlock_state_text(&held, &take->state, &ignored);
}

/* Whether its disks are in the lockspace that is meant. */
static int check_place(const struct hf_sanlock_take *take, struct hf_lock_error *err)
{
        for (size_t i = 0; i < take->vm->n; i++)
                if (take->vm->leases[i].made)
                        return hf_sanlock_lockspace_check(&take->vm->driver->settings, err);
        return 0;
}

int hf_sanlock_take_all(struct hf_sanlock_take *take, struct hf_lock_error *err)
{
        int r = take->own ? 0 : check_place(take, err);

        if (r >= 0)
                r = hf_sanlock_take_look(take, err);
        if (r < 0)
                return r;
        take->taken = calloc(take->vm->n + 1, sizeof(*take->taken));
        if (!take->taken)
                return hf_driver_no_memory(err);
        r = take_some(take, false, err);
        if (r >= 0)
                r = take_some(take, true, err);
        /* A daemon that stands still is asked on the session first, which has a deadline. */
        if (r >= 0 && take->own)
                r = check_place(take, err);
        if (r >= 0)
                return 0;
        if (!take->session->lost)
                note_versions(take);
        hf_sanlock_take_undo(take);
        return r;
}

static void give(struct hf_sanlock_take *take, const struct hf_sanlock_lease *lease)
{
        struct hf_sanlock_resource res;
        struct sanlk_resource *arg = &res.res;

        hf_sanlock_lease_resource(lease, &res);
        if (!take->own) {
                (void)sanlock_release(-1, take->vm->who.pid, 0, 1, &arg);
                return;
        }
        hf_sanlock_session_limit(take->session);
        (void)sanlock_release(take->session->fd, -1, 0, 1, &arg);
}

void hf_sanlock_take_undo(struct hf_sanlock_take *take)
{
        for (size_t i = take->vm->n; take->taken && i-- > 0;) {
                const struct hf_sanlock_lease *lease = &take->vm->leases[i];

                /* Of a connection that answers no more, the end frees all. */
                if (take->taken[i] == HF_SANLOCK_TAKEN && !(take->own && take->session->lost))
                        give(take, lease);
                else if (take->taken[i] == HF_SANLOCK_CONVERTED)
                        (void)convert(take, lease, !lease->shared);
                take->taken[i] = HF_SANLOCK_NOT_TAKEN;
        }
}

void hf_sanlock_take_done(struct hf_sanlock_take *take)
{
        free(take->taken);
        free(take->state);
        take->taken = NULL;
        take->state = NULL;
}
