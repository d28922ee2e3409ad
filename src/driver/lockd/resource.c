/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Taking and giving back one resource, by the words of either daemon. */
#include "storage/resource.h"
#include "base/cleanup.h"
#include "driver/lockd/call.h"
#include "driver/lockd/set.h"
#include "rpc/lock.h"
#include "storage/guarantee.h"

#include <string.h>

_Static_assert((int)HF_LEVEL_NONE == HF_GUARANTEE_NONE && (int)HF_LEVEL_HOST == HF_GUARANTEE_HOST &&
                       (int)HF_LEVEL_CLUSTER_ADVISORY == HF_GUARANTEE_CLUSTER_ADVISORY &&
                       (int)HF_LEVEL_CLUSTER_FENCED == HF_GUARANTEE_CLUSTER_FENCED,
               "what the daemon says of a lock has the numbers of the drivers");

/*
 * A stock daemon refuses a lockspace that it was not told of. Telling it again
 * changes nothing.
 */
int hf_lockd_announce(struct hf_lockd_connection *connection,
                      const struct hf_lockd_resource *resource, struct hf_error *err)
{
        struct hf_lock_lockspace_args args = {.path = resource->lockspace};
        const struct hf_call call = HF_LOCKD_CALL(HF_LOCK_CREATE_LOCKSPACE, hf_lock_lockspace_args,
                                                  &args);
        int r = hf_lockd_call(connection, &call, err);

        if (r >= 0 || !err || r == -ETIMEDOUT || err->code == HF_ERR_RPC || !resource->dir_key)
                return r;
        hf_error_prefix(err, "cannot use the lockspace directory %s (%s)", resource->lockspace,
                        resource->dir_key);
        err->code = HF_ERR_CONFIG_UNSUPPORTED;
        return r;
}

static bool stands_for_disk(const struct hf_lockd_resource *resource)
{
        return resource->type == HF_LOCK_DISK && *resource->lockspace;
}

/* The flags of a lock on it. The file that stands for a disk is made when it is needed. */
static unsigned int flags_of(const struct hf_lockd_resource *resource)
{
        unsigned int flags = resource->shared ? HF_LOCK_ACQUIRE_SHARED : 0;

        if (stands_for_disk(resource))
                flags |= HF_LOCK_ACQUIRE_AUTOCREATE;
        return flags;
}

/* The path that the name stands for; none is longer than what can be opened. */
static const char *image_of(const struct hf_lockd_resource *resource)
{
        return stands_for_disk(resource) && strlen(resource->label) <= HF_HOLDFAST_PATH_MAX
                       ? resource->label
                       : "";
}

static const char *kind_of(const struct hf_lockd_resource *resource)
{
        return resource->type == HF_LOCK_LEASE ? "lease" : "disk";
}

/* What is known without asking: what was refused, and where the daemon is. */
static void end_holder(const struct hf_lockd_connection *connection,
                       const struct hf_lockd_resource *resource, struct hf_lock_holder *holder)
{
        if (!*holder->host)
                (void)snprintf(holder->host, sizeof(holder->host), "%s", connection->host);
        (void)snprintf(holder->resource, sizeof(holder->resource), "%s", resource->label);
}

static int take_stock(struct hf_lockd_connection *connection, struct hf_lockd_resource *resource,
                      unsigned int *ret_guarantee, struct hf_error *err)
{
        struct hf_lock_resource_args args = {
                .path = resource->lockspace,
                .name = resource->name,
                .flags = flags_of(resource),
        };
        const struct hf_call call = HF_LOCKD_CALL(HF_LOCK_ACQUIRE_RESOURCE, hf_lock_resource_args,
                                                  &args);
        int r = hf_lockd_call(connection, &call, err);

        if (r < 0)
                return r;
        resource->taken = true;
        *ret_guarantee = HF_GUARANTEE_HOST;
        return 0;
}

static void free_acquired(struct hf_holdfast_acquire_ret *ret)
{
        hf_rpc_free((xdrproc_t)xdr_hf_holdfast_acquire_ret, ret);
}

static void fill_here(const struct hf_holdfast_lock *from, struct hf_lock_holder *to)
{
        (void)snprintf(to->name, sizeof(to->name), "%s", from->owner.name);
        (void)snprintf(to->via, sizeof(to->via), "%s", from->owner.via);
        memcpy(to->uuid, from->owner.uuid, sizeof(to->uuid));
        to->pid = (pid_t)from->owner.pid;
        to->since = from->since;
        to->shared = from->shared;
}

/* Of another host, as its record says. */
static void fill_elsewhere(const struct hf_holdfast_record *from, struct hf_lock_holder *to)
{
        (void)snprintf(to->name, sizeof(to->name), "%s", from->name);
        (void)snprintf(to->host, sizeof(to->host), "%s", from->host);
        (void)snprintf(to->via, sizeof(to->via), "%s", from->via);
        memcpy(to->uuid, from->uuid, sizeof(to->uuid));
        to->pid = (pid_t)from->pid;
        to->since = from->since;
        to->shared = from->shared;
}

void hf_lockd_fill_holder(const struct hf_lockd_connection *connection,
                          const struct hf_lockd_resource *resource,
                          const struct hf_holdfast_lock *here,
                          const struct hf_holdfast_record *elsewhere, struct hf_lock_holder *ret)
{
        if (here)
                fill_here(here, ret);
        else if (elsewhere)
                fill_elsewhere(elsewhere, ret);
        end_holder(connection, resource, ret);
}

struct hf_holdfast_acquire_args hf_lockd_want(const struct hf_lockd_resource *resource)
{
        struct hf_holdfast_acquire_args want = {
                .path = resource->lockspace,
                .name = resource->name,
                .flags = flags_of(resource),
                .image = (char *)(uintptr_t)image_of(resource),
        };
        struct hf_thing thing = {0};

        /* Where it cannot be told here, the daemon finds out, or says why not. */
        if (resource->type == HF_LOCK_DISK && hf_resource_identify(resource->label, &thing) >= 0)
                want.thing = (struct hf_holdfast_thing){thing.kind, thing.dev, thing.ino};
        return want;
}

static int take_ours(struct hf_lockd_connection *connection, struct hf_lockd_resource *resource,
                     unsigned int *ret_guarantee, struct hf_lock_holder *holder,
                     struct hf_error *err)
{
        struct hf_holdfast_acquire_args args = hf_lockd_want(resource);
        hf_cleanup(free_acquired) struct hf_holdfast_acquire_ret ret = {0};
        struct hf_call call = {
                .prog = HF_HOLDFAST_PROGRAM,
                .vers = HF_HOLDFAST_VERSION,
                .proc = HF_HOLDFAST_ACQUIRE,
                .put = (xdrproc_t)xdr_hf_holdfast_acquire_args,
                .args = &args,
                .get = (xdrproc_t)xdr_hf_holdfast_acquire_ret,
                .ret = &ret,
        };
        int r;

        if (connection->duplicates) {
                args.flags |= HF_HOLDFAST_ACQUIRE_DESCRIPTOR;
                call.ret_fd = &resource->fd;
        }
        r = hf_lockd_call(connection, &call, err);
        if (r < 0)
                return r;
        if (!ret.granted) {
                if (holder)
                        hf_lockd_fill_holder(connection, resource, ret.holder, ret.elsewhere,
                                             holder);
                return hf_error_set(err, EBUSY, HF_ERR_RESOURCE_BUSY, HF_FROM_LOCKSPACE, "%s",
                                    ret.text);
        }
        resource->taken = ret.granted != HF_HOLDFAST_HAD;
        *ret_guarantee = ret.guarantee;
        return 0;
}

void hf_lockd_prefix(const struct hf_lockd_resource *resource, struct hf_error *err)
{
        hf_error_prefix(err, "cannot lock %s %s", kind_of(resource), resource->label);
}

int hf_lockd_take(struct hf_lockd_connection *connection, struct hf_lockd_resource *resource,
                  unsigned int *ret_guarantee, struct hf_lock_holder *holder, struct hf_error *err)
{
        int r = connection->ours ? take_ours(connection, resource, ret_guarantee, holder, err)
                                 : take_stock(connection, resource, ret_guarantee, err);

        if (r == -EBUSY && holder)
                end_holder(connection, resource, holder);
        if (r < 0)
                hf_lockd_prefix(resource, err);
        return r;
}

/*
 * Whether the daemon says no more than that the VM does not have it: nobody
 * does, others do, or it has never heard of that lockspace.
 */
static bool is_not_held(const struct hf_error *error)
{
        return error->code == HF_ERR_RESOURCE_BUSY ||
               (error->code == HF_ERR_INTERNAL &&
                (error->domain == HF_FROM_LOCKSPACE || error->domain == HF_FROM_RPC));
}

int hf_lockd_give(struct hf_lockd_connection *connection, const struct hf_lockd_resource *resource,
                  struct hf_error *err)
{
        struct hf_lock_resource_args args = {
                .path = resource->lockspace,
                .name = resource->name,
        };
        const struct hf_call call = HF_LOCKD_CALL(HF_LOCK_RELEASE_RESOURCE, hf_lock_resource_args,
                                                  &args);
        struct hf_error error = {0};
        int r = hf_lockd_call(connection, &call, &error);

        if (r >= 0 || is_not_held(&error))
                return 0;
        if (err)
                *err = error;
        hf_error_prefix(err, "cannot release %s %s", kind_of(resource), resource->label);
        return r;
}
