/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "driver/sanlock/holders.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/process.h"
#include "driver/sanlock/health.h"
#include "driver/sanlock/note.h"
#include "driver/sanlock/timing.h"
#include "vm/resources.h"

#include <sanlock_admin.h>
#include <string.h>

void hf_sanlock_holders_clear(struct hf_sanlock_holders *holders)
{
        hf_sanlock_status_clear(&holders->status);
        free(holders->hosts);
        holders->hosts = NULL;
        holders->n_hosts = 0;
        holders->lockspace[0] = '\0';
        holders->asked = false;
}

const struct hf_sanlock_daemon *hf_sanlock_holders_status(struct hf_sanlock_holders *holders,
                                                          struct hf_error *err)
{
        int r = holders->asked ? 0
                               : hf_sanlock_status_read(holders->deadline, &holders->status, err);

        holders->asked = true;
        return r >= 0 && *holders->status.version ? &holders->status : NULL;
}

/* Those of one lockspace are kept: leases of a VM are mostly in one. */
static const struct hf_sanlock_host *find_host(struct hf_sanlock_holders *holders,
                                               const char *lockspace, uint64_t id)
{
        if (strcmp(holders->lockspace, lockspace) != 0) {
                free(holders->hosts);
                holders->hosts = NULL;
                holders->n_hosts = 0;
                (void)snprintf(holders->lockspace, sizeof(holders->lockspace), "%s", lockspace);
                (void)hf_sanlock_hosts_read(lockspace, holders->deadline, &holders->hosts,
                                            &holders->n_hosts, NULL);
        }
        for (size_t i = 0; i < holders->n_hosts; i++)
                if (holders->hosts[i].id == id)
                        return &holders->hosts[i];
        return NULL;
}

static void set_shared(const struct hf_sanlock_lease *lease, bool shared,
                       struct hf_lock_holder *holder)
{
        (void)snprintf(holder->resource, sizeof(holder->resource), "%s", lease->label);
        holder->shared = shared;
}

/* ---- on this host ------------------------------------------------------------------------ */

static void name_by_note(const struct hf_sanlock_note *note, struct hf_lock_holder *holder)
{
        (void)snprintf(holder->name, sizeof(holder->name), "%s", note->name ? note->name : "");
        (void)snprintf(holder->via, sizeof(holder->via), "%s", note->via ? note->via : "");
        if (note->uuid)
                (void)hf_vm_uuid_parse(note->uuid, holder->uuid, NULL);
}

/* Best by what its VM is called, else as it called itself to sanlock, else its command. */
static void name_process(const struct hf_sanlock_holders *holders, pid_t pid,
                         struct hf_lock_holder *holder)
{
        const struct hf_sanlock_daemon *status = &holders->status;
        struct hf_sanlock_note note = {0};

        holder->pid = pid;
        if (hf_sanlock_note_find(holders->paths, pid, &note) > 0) {
                name_by_note(&note, holder);
                hf_sanlock_note_clear(&note);
        }
        for (size_t i = 0; i < status->n_processes && !*holder->name; i++)
                if (status->processes[i].pid == pid)
                        (void)snprintf(holder->name, sizeof(holder->name), "%s",
                                       status->processes[i].name);
        if (!*holder->name)
                (void)hf_process_comm(pid, holder->name, sizeof(holder->name));
}

/* Its processes that hold the lease; a shared one can have several. Returns how many. */
static int tell_local(struct hf_sanlock_holders *holders, const struct hf_sanlock_lease *lease,
                      const struct hf_sanlock_host *host,
                      void (*tell)(void *ctx, const struct hf_lock_holder *holder), void *ctx)
{
        const struct hf_sanlock_daemon *status = &holders->status;
        int n = 0;

        for (size_t i = 0; i < status->n_held; i++) {
                const struct hf_sanlock_held *held = &status->held[i];
                struct hf_lock_holder holder = {
                        .size = sizeof(holder),
                        .host_id = (uint32_t)host->id,
                        .generation = host->generation,
                };

                if (strcmp(held->lockspace, lease->lockspace) != 0 ||
                    strcmp(held->key, lease->key) != 0 || (held->pid && held->pid == holders->self))
                        continue;
                set_shared(lease, held->shared, &holder);
                (void)snprintf(holder.host, sizeof(holder.host), "%s", status->host_name);
                if (held->orphan)
                        (void)snprintf(holder.state, sizeof(holder.state),
                                       "left behind by a process that is gone");
                else
                        name_process(holders, held->pid, &holder);
                tell(ctx, &holder);
                n++;
        }
        return n;
}

/* ---- on another -------------------------------------------------------------------------- */

/* Whether it may still use the lease: no more if it has left, died, or joined again since. */
static bool opposes(const struct hf_sanlock_host *host, uint64_t generation)
{
        return !host || (host->generation == generation && host->state != HF_SANLOCK_HOST_FREE &&
                         host->state != HF_SANLOCK_HOST_DEAD);
}

static int tell_remote(struct hf_sanlock_holders *holders, const struct hf_sanlock_lease *lease,
                       const struct sanlk_host *owner, bool shared,
                       void (*tell)(void *ctx, const struct hf_lock_holder *holder), void *ctx)
{
        const struct hf_sanlock_host *host = find_host(holders, lease->lockspace, owner->host_id);
        struct hf_sanlock_host unseen = {
                .id = owner->host_id,
                .generation = owner->generation,
                .state = HF_SANLOCK_HOST_UNKNOWN,
        };
        struct hf_lock_holder holder = {
                .size = sizeof(holder),
                .host_id = (uint32_t)owner->host_id,
                .generation = owner->generation,
        };

        if (!opposes(host, owner->generation))
                return 0;
        set_shared(lease, shared, &holder);
        (void)snprintf(holder.host, sizeof(holder.host), "%s", host ? host->name : "");
        hf_sanlock_host_words(host ? host : &unseen, holders->status.watchdog_fire,
                              hf_clock_nsec(CLOCK_MONOTONIC) / 1000000000, holder.state,
                              sizeof(holder.state));
        tell(ctx, &holder);
        return 1;
}

/* ---- all --------------------------------------------------------------------------------- */

int hf_sanlock_holders_of(struct hf_sanlock_holders *holders, const struct hf_sanlock_lease *lease,
                          void (*tell)(void *ctx, const struct hf_lock_holder *holder), void *ctx)
{
        const struct hf_sanlock_space *space;
        hf_cleanup_free struct sanlk_host *owners = NULL;
        struct hf_sanlock_resource resource;
        int n = 0, told = 0, rv;
        bool shared;

        (void)hf_sanlock_holders_status(holders, NULL);
        space = hf_sanlock_space_of(&holders->status, lease->lockspace);
        hf_sanlock_lease_resource(lease, &resource);
        resource.res.flags = 0;
        rv = sanlock_read_resource_owners(&resource.res, 0, &owners, &n);
        if (rv < 0)
                return rv;
        shared = resource.res.flags & SANLK_RES_SHARED;
        for (int i = 0; i < n; i++) {
                const struct hf_sanlock_host self = {.id = owners[i].host_id,
                                                     .generation = owners[i].generation};

                if (space && space->host_id == owners[i].host_id)
                        told += tell_local(holders, lease, &self, tell, ctx);
                else
                        told += tell_remote(holders, lease, &owners[i], shared, tell, ctx);
        }
        return told;
}

struct first {
        struct hf_lock_holder *ret;
        bool found;
};

static void take_first(void *ctx, const struct hf_lock_holder *holder)
{
        struct first *first = ctx;
        size_t size = first->ret->size;

        if (first->found)
                return;
        first->found = true;
        memcpy(first->ret, holder, size < sizeof(*holder) ? size : sizeof(*holder));
        first->ret->size = size;
}

bool hf_sanlock_holder_of(struct hf_sanlock_holders *holders, const struct hf_sanlock_lease *lease,
                          struct hf_lock_holder *ret)
{
        struct first first = {.ret = ret};

        (void)hf_sanlock_holders_of(holders, lease, take_first, &first);
        return first.found;
}
