/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The operations: all or nothing for acquire, as much as possible for release. */
#include "driver/lockd/lockd.h"

#include "base/cleanup.h"
#include "base/sized.h"
#include "driver/lockd/set.h"
#include "driver/lockd/uses.h"

#include <fcntl.h>
#include <string.h>

/* Free of standard input, output and error, which a VMM may close or replace. */
#define LOWEST_FD 3

/* A release touches no image; a daemon that lives answers at once. */
#define ROLL_BACK_TIMEOUT_MS 5000

static int open_connection(struct hf_lockd_connection *connection, const struct hf_lockd_vm *vm,
                           struct hf_lock_error *err)
{
        struct hf_error error = {0};
        bool no_daemon;
        int r = hf_lockd_connect(connection, vm, &no_daemon, &error);

        if (r >= 0)
                return 0;
        (void)hf_driver_fail(err, r, &error);
        if (no_daemon) {
                err->code = HF_LOCK_E_NO_DAEMON;
                err->sys = -r;
        }
        return r;
}

/*
 * Gives back what this acquire took. Time may be up for taking, not for giving
 * back. A connection that was lost on the way is made again, but for the VM's
 * own, whose end frees everything. Where that fails too, the lock stays until
 * the VM ends.
 */
static void roll_back(struct hf_lockd_connection *connection, struct hf_lockd_vm *vm, size_t n,
                      const struct hf_lockd_set *set)
{
        bool no_daemon;

        connection->deadline = 0;
        connection->caller.timeout_ms = ROLL_BACK_TIMEOUT_MS;
        if (connection->caller.fd < 0 && vm->who.pid != getpid())
                (void)hf_lockd_connect(connection, vm, &no_daemon, NULL);
        while (n-- > 0) {
                if (vm->resources[n].taken)
                        (void)hf_lockd_give(connection, &vm->resources[n], NULL);
                vm->resources[n].taken = false;
                hf_close_fd(&vm->resources[n].fd);
        }
        hf_lockd_set_release(connection, set);
}

/* Names all, before anything is taken: to find a name may take long. */
static int name_all(struct hf_lockd_vm *vm, uint64_t deadline, struct hf_error *err)
{
        int r = 0;

        if (!deadline)
                deadline = hf_lockd_naming_deadline();
        for (size_t i = 0; i < vm->n && r >= 0; i++)
                r = hf_lockd_name(vm, i, deadline, err);
        return r;
}

/* Makes the directory of resource i known, if there is one and no earlier resource has it. */
static int announce(struct hf_lockd_connection *connection, const struct hf_lockd_vm *vm, size_t i,
                    struct hf_error *err)
{
        if (!*vm->resources[i].lockspace)
                return 0;
        for (size_t j = 0; j < i; j++)
                if (!strcmp(vm->resources[j].lockspace, vm->resources[i].lockspace))
                        return 0;
        return hf_lockd_announce(connection, &vm->resources[i], err);
}

static int announce_all(struct hf_lockd_connection *connection, const struct hf_lockd_vm *vm,
                        struct hf_error *err)
{
        int r = 0;

        for (size_t i = 0; i < vm->n && r >= 0; i++)
                r = announce(connection, vm, i, err);
        return r;
}

static int take_each(struct hf_lockd_connection *connection, struct hf_lockd_vm *vm,
                     const struct hf_lockd_set *set, unsigned int *ret_guarantee,
                     struct hf_lock_holder *holder, struct hf_error *err)
{
        unsigned int weakest = HF_GUARANTEE_NONE;

        for (size_t i = 0; i < vm->n; i++) {
                unsigned int guarantee = HF_GUARANTEE_NONE;
                int r = hf_lockd_take(connection, &vm->resources[i], &guarantee, holder, err);

                if (r < 0) {
                        /* It may have been granted by an answer that was not waited for. */
                        vm->resources[i].taken = r == -ETIMEDOUT;
                        roll_back(connection, vm, i + 1, set);
                        return r;
                }
                if (i == 0 || guarantee < weakest)
                        weakest = guarantee;
        }
        *ret_guarantee = weakest;
        return 0;
}

static bool is_to_wait(const struct hf_lock_acquire *acquire)
{
        return HF_HAS(acquire, waiting_ctx) && acquire->wait_until;
}

static int take_all(struct hf_lockd_connection *connection, struct hf_lockd_vm *vm,
                    const struct hf_lock_acquire *acquire, struct hf_lockd_set *set,
                    struct hf_lock_result *result, struct hf_error *err)
{
        int r = announce_all(connection, vm, err);

        if (r >= 0 && vm->n > 0 && is_to_wait(acquire))
                r = hf_lockd_set_wait(connection, vm, acquire, result->holder, set, err);
        if (r < 0)
                return r;
        r = take_each(connection, vm, set, &result->guarantee, result->holder, err);
        return r == -EBUSY && set->unknown ? hf_lockd_set_refuse(connection, err) : r;
}

/* Takes the socket out of the connection, open across exec. */
static int hand_out(struct hf_lockd_connection *connection, int *ret_fd, struct hf_error *err)
{
        int fd = fcntl(connection->caller.fd, F_DUPFD, LOWEST_FD);

        if (fd < 0)
                return hf_error_sys(err, errno, "cannot duplicate the connection to %s",
                                    connection->caller.path);
        *ret_fd = fd;
        return 0;
}

/*
 * Leaves the duplicates to the process, open across exec: nobody ever uses them. One
 * that there is no number for is done without.
 */
static void leave_duplicates(struct hf_lockd_vm *vm)
{
        for (size_t i = 0; i < vm->n; i++) {
                if (vm->resources[i].fd < 0)
                        continue;
                (void)fcntl(vm->resources[i].fd, F_DUPFD, LOWEST_FD);
                hf_close_fd(&vm->resources[i].fd);
        }
}

/* What becomes of the VM that loses a lock; a client is none. */
static int set_guard(struct hf_lockd_connection *connection, const struct hf_lockd_vm *vm,
                     const struct hf_lock_acquire *acquire, struct hf_error *err)
{
        if (!acquire->want_connection || !connection->ours || (vm->who.flags & HF_LOCK_VM_CLIENT))
                return 0;
        return hf_lockd_guard(connection, vm, acquire->action, err);
}

/* The part of acquire that has locks to lose: undone as a whole when it fails. */
static int acquire_on(struct hf_lockd_connection *connection, struct hf_lockd_vm *vm,
                      const struct hf_lock_acquire *acquire, struct hf_lock_result *result,
                      struct hf_error *err)
{
        bool register_only = acquire->flags & HF_LOCK_ACQUIRE_REGISTER_ONLY;
        struct hf_lock_result taken = {.holder = result->holder, .guarantee = HF_GUARANTEE_NONE};
        struct hf_lockd_set set = {0};
        hf_cleanup_fd int fd = -1;
        int r = set_guard(connection, vm, acquire, err);

        if (r >= 0 && !register_only)
                r = take_all(connection, vm, acquire, &set, &taken, err);
        if (r < 0)
                return r;
        r = acquire->want_connection ? hand_out(connection, &fd, err) : 0;
        if (r >= 0 && (acquire->flags & HF_LOCK_ACQUIRE_RESTRICT))
                r = hf_lockd_restrict(connection, err);
        if (r < 0) {
                if (!register_only)
                        roll_back(connection, vm, vm->n, &set);
                return r;
        }
        leave_duplicates(vm);
        result->fd = hf_steal_fd(&fd);
        result->guarantee = taken.guarantee;
        return 0;
}

static int check_arguments(const struct hf_lock_acquire *acquire,
                           const struct hf_lock_result *result, struct hf_lock_error *err)
{
        const uint32_t known = HF_LOCK_ACQUIRE_REGISTER_ONLY | HF_LOCK_ACQUIRE_RESTRICT |
                               HF_LOCK_ACQUIRE_DESCRIPTORS;

        if (!HF_HAS(acquire, lost_ctx) || !HF_HAS(result, holder))
                return hf_driver_refuse(err, EINVAL, HF_LOCK_E_INVALID,
                                        "driver lockd was given too small a structure");
        if (acquire->flags & ~known)
                return hf_driver_refuse(err, EOPNOTSUPP, HF_LOCK_E_UNSUPPORTED,
                                        "driver lockd does not know the flags 0x%x of acquire",
                                        acquire->flags & ~known);
        return 0;
}

/* What comes before a daemon is asked. */
static int prepare(struct hf_lockd_vm *vm, const struct hf_lock_acquire *acquire,
                   struct hf_error *err)
{
        int r;

        if (acquire->flags & HF_LOCK_ACQUIRE_REGISTER_ONLY)
                return 0;
        r = hf_lockd_check_leases(vm, err);
        if (r >= 0)
                r = name_all(vm, acquire->deadline, err);
        if (r >= 0)
                hf_lockd_tell_of_lookaside(vm);
        return r;
}

int hf_lockd_acquire(void *data, const struct hf_lock_acquire *acquire,
                     struct hf_lock_result *result, struct hf_lock_error *err)
{
        hf_cleanup_connection struct hf_lockd_connection connection = HF_LOCKD_CONNECTION_INIT;
        struct hf_lockd_vm *vm = data;
        struct hf_error error = {0};
        int r;

        r = check_arguments(acquire, result, err);
        if (r >= 0)
                r = hf_driver_check_caller(&vm->who, acquire->want_connection, err);
        if (r < 0)
                return r;
        r = prepare(vm, acquire, &error);
        if (r < 0)
                return hf_driver_fail(err, r, &error);
        /* Nothing to lock and nobody to hand a connection to: no daemon is needed. */
        if (vm->n == 0 && !acquire->want_connection)
                return 0;
        connection.deadline = acquire->deadline;
        connection.duplicates = acquire->want_connection &&
                                (acquire->flags & HF_LOCK_ACQUIRE_DESCRIPTORS);
        r = open_connection(&connection, vm, err);
        if (r < 0)
                return r;
        r = acquire_on(&connection, vm, acquire, result, &error);
        return r < 0 ? hf_driver_fail(err, r, &error) : 0;
}

int hf_lockd_release(void *data, char **ret_state, struct hf_lock_error *err)
{
        hf_cleanup_connection struct hf_lockd_connection connection = HF_LOCKD_CONNECTION_INIT;
        struct hf_lockd_vm *vm = data;
        uint64_t deadline = hf_lockd_naming_deadline();
        int r, first = 0;

        r = hf_driver_check_caller(&vm->who, false, err);
        if (r < 0)
                return r;
        if (vm->n > 0) {
                r = open_connection(&connection, vm, err);
                if (r < 0)
                        return r;
        }
        for (size_t i = 0; i < vm->n; i++) {
                struct hf_error error = {0};

                r = hf_lockd_name(vm, i, deadline, &error);
                if (r >= 0)
                        r = hf_lockd_give(&connection, &vm->resources[i], &error);
                if (r < 0 && first == 0)
                        first = hf_driver_fail(err, r, &error);
        }
        if (first == 0 && ret_state)
                *ret_state = NULL;
        return first;
}

int hf_lockd_inquire(void *data, char **ret_state, struct hf_lock_error *err)
{
        const struct hf_lockd_vm *vm = data;
        struct hf_error error = {0};
        int r = hf_lockd_check_leases(vm, &error);

        if (r >= 0)
                r = hf_lockd_check_directories(vm, &error);
        if (r < 0)
                return hf_driver_fail(err, r, &error);
        hf_lockd_tell_of_lookaside(vm);
        if (ret_state)
                *ret_state = NULL;
        return 0;
}
