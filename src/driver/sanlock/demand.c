/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Looking before taking, where versions are demanded.
 *
 * To take a lease makes its version higher. Of an acquire of several, those that were had before
 * one was refused could never be resumed any more, though nobody else has used them. So all are
 * looked at first, and nothing is touched where it shows that one cannot be had.
 */
#include "driver/sanlock/take.h"

#include "base/cleanup.h"

#include <sanlock_admin.h>
#include <sanlock_rv.h>

/* Whether owners, as they are written at the lease, keep this host from it. */
static int judge_owners(struct hf_sanlock_take *take, const struct hf_sanlock_lease *lease,
                        struct hf_sanlock_resource *res, struct sanlk_host *owners, int n,
                        struct hf_lock_error *err)
{
        hf_cleanup_free struct sanlk_host *hosts = NULL;
        uint32_t verdict = 0;
        int n_hosts = 0;

        /* What cannot be told now shows when it is taken. */
        if (n == 0 || sanlock_get_hosts(lease->lockspace, 0, &hosts, &n_hosts, 0) < 0 ||
            sanlock_test_resource_owners(&res->res, 0, owners, n, hosts, n_hosts, &verdict) < 0 ||
            !(verdict & SANLK_TRF_FAIL))
                return 0;
        return hf_sanlock_refuse(take, lease, SANLK_ACQUIRE_IDLIVE, err);
}

static int look_at(struct hf_sanlock_take *take, const struct hf_sanlock_lease *lease,
                   const struct sanlk_resource *item, struct hf_lock_error *err)
{
        hf_cleanup_free struct sanlk_host *owners = NULL;
        struct hf_sanlock_resource res;
        int n = 0;

        hf_sanlock_lease_resource(lease, &res);
        res.res.flags = 0;
        if (sanlock_read_resource_owners(&res.res, 0, &owners, &n) < 0)
                return 0;
        if (res.res.lver != item->lver)
                return hf_sanlock_refuse(take, lease, SANLK_ACQUIRE_LVER, err);
        return judge_owners(take, lease, &res, owners, n, err);
}

int hf_sanlock_take_look(struct hf_sanlock_take *take, struct hf_lock_error *err)
{
        hf_cleanup(hf_sanlock_state_clear) struct hf_sanlock_state held = {0};
        struct hf_lock_error none = {.size = sizeof(none)};
        int r = 0;

        /* One alone is taken or not. */
        if (take->vm->n < 2 || !take->demand || take->demand->n == 0)
                return 0;
        /* What it holds was taken before; that it is not registered will be said soon. */
        (void)hf_sanlock_state_of(take->vm->who.pid, &held, &none);
        for (size_t i = 0; i < take->vm->n && r >= 0; i++) {
                const struct hf_sanlock_lease *lease = &take->vm->leases[i];
                const struct sanlk_resource *item = hf_sanlock_take_demanded(take, lease);

                if (item && !hf_sanlock_state_find(&held, lease->lockspace, lease->key))
                        r = look_at(take, lease, item, err);
        }
        return r;
}
