/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "driver/lockd/set.h"

#include "base/cleanup.h"
#include "driver/lockd/call.h"

#include <limits.h>
#include <string.h>

/* What the daemon may take to answer beside the time that it lets us wait. */
#define ANSWER_MS HF_RPC_TIMEOUT_MS

/* Of the messages of one wait. */
struct progress {
        const struct hf_lockd_connection *connection;
        const struct hf_lockd_vm *vm;
        const struct hf_lock_acquire *acquire;
};

static void free_waiting(struct hf_holdfast_waiting *waiting)
{
        hf_rpc_free((xdrproc_t)xdr_hf_holdfast_waiting, waiting);
}

static void tell(void *ctx, int proc, const uint8_t *payload, size_t len)
{
        const struct progress *progress = ctx;
        hf_cleanup(free_waiting) struct hf_holdfast_waiting from = {0};
        struct hf_lock_holder holder = {.size = sizeof(holder)};
        struct hf_lock_waiting waiting = {.size = sizeof(waiting), .holder = &holder};

        if (proc != HF_HOLDFAST_WAITING ||
            hf_rpc_get_payload(payload, len, (xdrproc_t)xdr_hf_holdfast_waiting, &from, NULL) < 0)
                return;
        if (from.refused >= progress->vm->n)
                return;
        waiting.position = from.position;
        waiting.since = from.since;
        waiting.text = from.text;
        waiting.resource = progress->vm->resources[from.refused].label;
        hf_lockd_fill_holder(progress->connection, &progress->vm->resources[from.refused],
                             from.holder, from.elsewhere, &holder);
        progress->acquire->waiting(progress->acquire->waiting_ctx, &waiting);
}

/* Microseconds, as the daemon counts them. */
static uint64_t time_left(const struct hf_lock_acquire *acquire, uint64_t now)
{
        if (acquire->wait_until == HF_LOCK_WAIT_FOREVER)
                return HF_HOLDFAST_FOREVER;
        return acquire->wait_until > now ? (acquire->wait_until - now) / 1000 : 0;
}

/* Milliseconds for our side, which only has to notice a daemon that is no more. */
static int limit_of(uint64_t timeout)
{
        return timeout / 1000 > INT_MAX - ANSWER_MS - 1 ? -1 : (int)(timeout / 1000) + ANSWER_MS;
}

static int refused(const struct hf_lockd_connection *connection, const struct hf_lockd_vm *vm,
                   const struct hf_holdfast_acquire_set_ret *ret, struct hf_lock_holder *holder,
                   struct hf_error *err)
{
        const struct hf_lockd_resource *resource;
        int r;

        if (ret->refused >= vm->n)
                return hf_error_set(err, EBADMSG, HF_ERR_RPC, HF_FROM_RPC,
                                    "lock daemon at %s refused what was not asked for",
                                    connection->caller.path);
        resource = &vm->resources[ret->refused];
        if (holder)
                hf_lockd_fill_holder(connection, resource, ret->holder, ret->elsewhere, holder);
        r = hf_error_set(err, EBUSY, HF_ERR_RESOURCE_BUSY, HF_FROM_LOCKSPACE,
                         "%s (waited %.1f s for it)", ret->text, (double)ret->waited / 1e6);
        hf_lockd_prefix(resource, err);
        return r;
}

/* Which answer it is. */
static int judge(const struct hf_lockd_connection *connection, const struct hf_lockd_vm *vm,
                 const struct hf_holdfast_acquire_set_ret *answer, struct hf_lock_holder *holder,
                 struct hf_lockd_set *ret, struct hf_error *err)
{
        if (answer->granted == HF_HOLDFAST_REFUSED)
                return refused(connection, vm, answer, holder, err);
        ret->granted = answer->granted == HF_HOLDFAST_GRANTED;
        ret->token = answer->token;
        return 0;
}

static int ask(struct hf_lockd_connection *connection, const struct hf_lockd_vm *vm,
               const struct hf_lock_acquire *acquire,
               const struct hf_holdfast_acquire_set_args *args,
               struct hf_holdfast_acquire_set_ret *ret, struct hf_error *err)
{
        struct progress progress = {connection, vm, acquire};
        const struct hf_call call = {
                .prog = HF_HOLDFAST_PROGRAM,
                .vers = HF_HOLDFAST_VERSION,
                .proc = HF_HOLDFAST_ACQUIRE_SET,
                .put = (xdrproc_t)xdr_hf_holdfast_acquire_set_args,
                .args = args,
                .get = (xdrproc_t)xdr_hf_holdfast_acquire_set_ret,
                .ret = ret,
                .message = acquire->waiting ? tell : NULL,
                .message_ctx = &progress,
        };
        int usual = connection->caller.timeout_ms, r;

        connection->caller.timeout_ms = limit_of(args->timeout);
        r = hf_caller_call(&connection->caller, &call, err);
        connection->caller.timeout_ms = usual;
        if (r == -EMSGSIZE)
                return hf_error_set(err, E2BIG, HF_ERR_INVALID_ARG, HF_FROM_LOCKING,
                                    "VM %s has too many disks to wait for all of them at once",
                                    vm->who.name);
        return r;
}

int hf_lockd_set_wait(struct hf_lockd_connection *connection, const struct hf_lockd_vm *vm,
                      const struct hf_lock_acquire *acquire, struct hf_lock_holder *holder,
                      struct hf_lockd_set *ret, struct hf_error *err)
{
        hf_cleanup_free struct hf_holdfast_acquire_args *wants = calloc(vm->n, sizeof(*wants));
        uint64_t begun = hf_lockd_now();
        struct hf_holdfast_acquire_set_args args = {
                .class = HF_HOLDFAST_CONTENT,
                .timeout = time_left(acquire, begun),
                .flags = acquire->waiting ? HF_HOLDFAST_SET_PROGRESS : 0,
                .wants = {.wants_len = (unsigned int)vm->n, .wants_val = wants},
        };
        struct hf_holdfast_acquire_set_ret answer = {0};
        struct hf_error error = {0};
        int r;

        ret->unknown = !connection->ours;
        if (ret->unknown)
                return 0;
        if (!wants)
                return hf_error_sys(err, ENOMEM, "out of memory");
        for (size_t i = 0; i < vm->n; i++)
                wants[i] = hf_lockd_want(&vm->resources[i]);
        r = ask(connection, vm, acquire, &args, &answer, &error);
        if (connection->deadline && connection->deadline < UINT64_MAX / 2)
                connection->deadline += hf_lockd_now() - begun;
        if (r >= 0)
                r = judge(connection, vm, &answer, holder, ret, &error);
        else if (error.code == HF_ERR_RPC && connection->caller.fd >= 0)
                /* One that does not know the call. */
                ret->unknown = true;
        hf_rpc_free((xdrproc_t)xdr_hf_holdfast_acquire_set_ret, &answer);
        if (r >= 0 || ret->unknown)
                return 0;
        if (err)
                *err = error;
        return r;
}

void hf_lockd_set_release(struct hf_lockd_connection *connection, const struct hf_lockd_set *set)
{
        struct hf_holdfast_release_set_args args = {.token = set->token};
        const struct hf_call call = {
                .prog = HF_HOLDFAST_PROGRAM,
                .vers = HF_HOLDFAST_VERSION,
                .proc = HF_HOLDFAST_RELEASE_SET,
                .put = (xdrproc_t)xdr_hf_holdfast_release_set_args,
                .args = &args,
        };

        if (set->granted)
                (void)hf_caller_call(&connection->caller, &call, NULL);
}

int hf_lockd_set_refuse(const struct hf_lockd_connection *connection, struct hf_error *err)
{
        char text[HF_ERROR_TEXT_MAX];

        (void)snprintf(text, sizeof(text), "%s", err ? err->text : "");
        return hf_error_set(err, EOPNOTSUPP, HF_ERR_CONFIG_UNSUPPORTED, HF_FROM_LOCKING,
                            "%.700s, and cannot be waited for: the lock daemon at %s is %s", text,
                            connection->caller.path ? connection->caller.path : "its socket",
                            connection->ours ? "of a version without that" : "libvirt's virtlockd");
}
