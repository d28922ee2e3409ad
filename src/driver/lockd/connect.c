/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "driver/lockd/lockd.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "driver/lockd/call.h"
#include "rpc/holdfast.h"
#include "rpc/lock.h"

#include <string.h>

uint64_t hf_lockd_now(void)
{
        return hf_clock_nsec(CLOCK_MONOTONIC);
}

void hf_lockd_connection_done(struct hf_lockd_connection *connection)
{
        hf_caller_done(&connection->caller);
}

/* Gives the next step with the daemon at path what is left of the time. */
static int limit(struct hf_lockd_connection *connection, const char *path, struct hf_error *err)
{
        uint64_t now;

        if (!connection->deadline)
                return 0;
        now = hf_lockd_now();
        if (now >= connection->deadline)
                return hf_error_set(err, ETIMEDOUT, HF_ERR_RPC, HF_FROM_LOCKING,
                                    "the time to get an answer from %s has passed", path);
        /* Rounded up: a call with less than a millisecond left may have that. */
        now = (connection->deadline - now + 999999) / 1000000;
        connection->caller.timeout_ms = now > INT32_MAX ? INT32_MAX : (int)now;
        return 0;
}

int hf_lockd_call(struct hf_lockd_connection *connection, const struct hf_call *call,
                  struct hf_error *err)
{
        int r = limit(connection, connection->caller.path, err);

        return r < 0 ? r : hf_caller_call(&connection->caller, call, err);
}

static void free_hello(struct hf_holdfast_hello_ret *ret)
{
        hf_rpc_free((xdrproc_t)xdr_hf_holdfast_hello_ret, ret);
}

/* Returns 1 if it is holdfastd, 0 if it knows nothing of holdfastd's program. */
static int greet(struct hf_lockd_connection *connection, const struct hf_lockd_vm *vm,
                 struct hf_error *err)
{
        struct hf_holdfast_hello_args args = {.via = vm->who.via};
        hf_cleanup(free_hello) struct hf_holdfast_hello_ret ret = {0};
        const struct hf_call call = {
                .prog = HF_HOLDFAST_PROGRAM,
                .vers = HF_HOLDFAST_VERSION,
                .proc = HF_HOLDFAST_HELLO,
                .put = (xdrproc_t)xdr_hf_holdfast_hello_args,
                .args = &args,
                .get = (xdrproc_t)xdr_hf_holdfast_hello_ret,
                .ret = &ret,
        };
        struct hf_error error = {0};
        int r;

        r = hf_lockd_call(connection, &call, &error);
        /* An answer, and it is that there is no such program: the connection is still good. */
        if (r < 0 && error.code == HF_ERR_RPC && connection->caller.fd >= 0 && r != -ETIMEDOUT)
                return 0;
        if (r < 0) {
                if (err)
                        *err = error;
                return r;
        }
        (void)snprintf(connection->host, sizeof(connection->host), "%s", ret.host);
        return 1;
}

/* That no VM asks, but whoever has the connection open. */
static int say_client(struct hf_lockd_connection *connection, const struct hf_lockd_vm *vm,
                      struct hf_error *err)
{
        struct hf_holdfast_client_args args = {.name = vm->who.name,
                                               .pid = (unsigned int)vm->who.pid};
        const struct hf_call call = {
                .prog = HF_HOLDFAST_PROGRAM,
                .vers = HF_HOLDFAST_VERSION,
                .proc = HF_HOLDFAST_CLIENT,
                .put = (xdrproc_t)xdr_hf_holdfast_client_args,
                .args = &args,
        };
        struct hf_error error = {0};
        int r = -EPROTO;

        memcpy(args.uuid, vm->who.uuid, sizeof(args.uuid));
        if (connection->ours)
                r = hf_lockd_call(connection, &call, &error);
        /* To a daemon that knows VMs alone the end of the connection would be that of a VM. */
        if (!connection->ours ||
            (r < 0 && error.code == HF_ERR_RPC && connection->caller.fd >= 0 && r != -ETIMEDOUT))
                return hf_error_set(
                        err, EOPNOTSUPP, HF_ERR_CONFIG_UNSUPPORTED, HF_FROM_LOCKING,
                        "the lock daemon at %s %s, and %s is none", connection->caller.path,
                        connection->ours ? "is of a version that knows VMs only"
                                         : "is libvirt's virtlockd, which knows VMs only",
                        vm->who.name);
        if (r < 0 && err)
                *err = error;
        return r;
}

static int say_who(struct hf_lockd_connection *connection, const struct hf_lockd_vm *vm,
                   struct hf_error *err)
{
        struct hf_lock_register_args args = {
                .owner = {.name = vm->who.name, .id = vm->who.id, .pid = (unsigned int)vm->who.pid},
        };
        const struct hf_call call = HF_LOCKD_CALL(HF_LOCK_REGISTER, hf_lock_register_args, &args);

        memcpy(args.owner.uuid, vm->who.uuid, sizeof(args.owner.uuid));
        return hf_lockd_call(connection, &call, err);
}

int hf_lockd_connect(struct hf_lockd_connection *connection, const struct hf_lockd_vm *vm,
                     bool *ret_no_daemon, struct hf_error *err)
{
        const struct hf_paths *paths = &vm->driver->paths;
        int r;

        *ret_no_daemon = false;
        r = limit(connection, paths->socket, err);
        if (r >= 0)
                r = hf_caller_connect(&connection->caller, paths->socket, err);
        if (hf_caller_found_nobody(r))
                r = hf_caller_connect(&connection->caller, paths->virtlockd_socket, err);
        if (hf_caller_found_nobody(r)) {
                *ret_no_daemon = true;
                return hf_error_set(err, -r, HF_ERR_SYSTEM, HF_FROM_LOCKING,
                                    "no lock daemon answers, neither at %s nor at %s",
                                    paths->socket, paths->virtlockd_socket);
        }
        if (r < 0)
                return r;
        r = greet(connection, vm, err);
        if (r < 0)
                return r;
        connection->ours = r > 0;
        return vm->who.flags & HF_LOCK_VM_CLIENT ? say_client(connection, vm, err)
                                                 : say_who(connection, vm, err);
}

/* RESTART is not among them: nobody here can start a VM again. */
static const unsigned int wishes[] = {
        [HF_LOCK_ACTION_DEFAULT] = HF_HOLDFAST_ON_LOST_DEFAULT,
        [HF_LOCK_ACTION_POWEROFF] = HF_HOLDFAST_ON_LOST_KILL,
        [HF_LOCK_ACTION_RESTART] = UINT32_MAX,
        [HF_LOCK_ACTION_PAUSE] = HF_HOLDFAST_ON_LOST_PAUSE,
        [HF_LOCK_ACTION_IGNORE] = HF_HOLDFAST_ON_LOST_WARN,
};

int hf_lockd_guard(struct hf_lockd_connection *connection, const struct hf_lockd_vm *vm,
                   unsigned int action, struct hf_error *err)
{
        struct hf_holdfast_guard_args args = {
                .monitor = vm->who.monitor ? vm->who.monitor : (char *)(uintptr_t) "",
        };
        const struct hf_call call = {
                .prog = HF_HOLDFAST_PROGRAM,
                .vers = HF_HOLDFAST_VERSION,
                .proc = HF_HOLDFAST_GUARD,
                .put = (xdrproc_t)xdr_hf_holdfast_guard_args,
                .args = &args,
        };
        struct hf_error error = {0};
        int r;

        if (action >= HF_ARRAY_LEN(wishes) || wishes[action] == UINT32_MAX)
                return hf_error_set(err, EOPNOTSUPP, HF_ERR_CONFIG_UNSUPPORTED, HF_FROM_LOCKING,
                                    "driver lockd cannot do that with a VM that loses a lock (%u)",
                                    action);
        args.on_lost = wishes[action];
        if (args.on_lost == HF_HOLDFAST_ON_LOST_DEFAULT && !*args.monitor)
                return 0;
        r = hf_lockd_call(connection, &call, &error);
        /* One that does not know the call; the connection is still good. */
        if (r >= 0 || (error.code == HF_ERR_RPC && connection->caller.fd >= 0 && r != -ETIMEDOUT))
                return 0;
        if (err)
                *err = error;
        return r;
}

int hf_lockd_restrict(struct hf_lockd_connection *connection, struct hf_error *err)
{
        struct hf_lock_restrict_args args = {0};
        const struct hf_call call = HF_LOCKD_CALL(HF_LOCK_RESTRICT, hf_lock_restrict_args, &args);

        return hf_lockd_call(connection, &call, err);
}
