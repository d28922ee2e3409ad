/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The operations.
 *
 * A start is made by the process that becomes the VMM, on a connection of its own, and in this
 * order: the note, by which others find out who this pid is; registering; what is to be
 * done with the VM should its leases be lost; the leases; the descriptor that the VMM inherits; and
 * at the very end the restriction, behind which that connection never answers again.
 */
#include "driver/sanlock/guard.h"
#include "driver/sanlock/paused.h"
#include "driver/sanlock/take.h"
#include "driver/sanlock/uses.h"

#include "base/cleanup.h"
#include "base/sized.h"

#include <fcntl.h>
#include <sanlock_resource.h>
#include <string.h>

/* Free of standard input, output and error, which a VMM may close or replace. */
#define LOWEST_FD 3

static bool is_start(const struct hf_lock_acquire *acquire)
{
        return acquire->want_connection || (acquire->flags & HF_LOCK_ACQUIRE_REGISTER_ONLY);
}

static int check_arguments(const struct hf_lock_acquire *acquire,
                           const struct hf_lock_result *result, struct hf_lock_error *err)
{
        const uint32_t known = HF_LOCK_ACQUIRE_REGISTER_ONLY | HF_LOCK_ACQUIRE_RESTRICT;

        if (!HF_HAS(acquire, lost_ctx) || !HF_HAS(result, holder))
                return hf_driver_refuse(err, EINVAL, HF_LOCK_E_INVALID,
                                        "driver sanlock was given too small a structure");
        if (acquire->flags & ~known)
                return hf_driver_refuse(err, EOPNOTSUPP, HF_LOCK_E_UNSUPPORTED,
                                        "driver sanlock does not know the flags 0x%x of acquire",
                                        acquire->flags & ~known);
        if (HF_HAS(acquire, waiting_ctx) && acquire->wait_until)
                return hf_driver_refuse(err, EOPNOTSUPP, HF_LOCK_E_UNSUPPORTED,
                                        "driver sanlock cannot wait for a lease");
        return 0;
}

/* Open across exec, and away from the numbers that a VMM uses for itself. */
static int hand_out(const struct hf_sanlock_session *session, int *ret_fd,
                    struct hf_lock_error *err)
{
        int fd = fcntl(session->fd, F_DUPFD, LOWEST_FD);

        if (fd < 0)
                return hf_driver_refuse(err, errno, HF_LOCK_E_SYSTEM,
                                        "cannot duplicate the connection to sanlock: %s",
                                        strerrordesc_np(errno));
        *ret_fd = fd;
        return 0;
}

static int restrict_session(struct hf_sanlock_session *session, struct hf_lock_error *err)
{
        int rv;

        hf_sanlock_session_limit(session);
        rv = hf_sanlock_session_result(session, sanlock_restrict(session->fd, SANLK_RESTRICT_ALL));
        return rv < 0 ? hf_sanlock_fail(err, HF_SANLOCK_SETUP, rv,
                                        "cannot restrict the connection to sanlock")
                      : 0;
}

/* From the leases on: undone as a whole when it fails. */
static int take_for_start(struct hf_sanlock_take *take, const struct hf_lock_acquire *acquire,
                          int *ret_fd, struct hf_lock_error *err)
{
        hf_cleanup_fd int fd = -1;
        int r = 0;

        if (!(acquire->flags & HF_LOCK_ACQUIRE_REGISTER_ONLY))
                r = hf_sanlock_take_all(take, err);
        if (r < 0)
                return r;
        r = hand_out(take->session, &fd, err);
        if (r >= 0 && (acquire->flags & HF_LOCK_ACQUIRE_RESTRICT))
                r = restrict_session(take->session, err);
        if (r < 0) {
                hf_sanlock_take_undo(take);
                return r;
        }
        *ret_fd = hf_steal_fd(&fd);
        return 0;
}

static int start(struct hf_sanlock_take *take, const struct hf_lock_acquire *acquire,
                 struct hf_lock_result *result, struct hf_lock_error *err)
{
        const struct hf_sanlock_vm *vm = take->vm;
        hf_cleanup_guard struct hf_sanlock_guard guard = {0};
        unsigned int guarantee;
        int r, fd = -1;

        take->own = true;
        r = hf_sanlock_guard_prepare(&guard, vm, acquire->action, err);
        if (r >= 0)
                r = hf_sanlock_session_open(take->session, acquire->deadline, err);
        if (r >= 0)
                r = hf_sanlock_guard_arm(&guard, take->session, err);
        if (r < 0)
                return r;
        guarantee = hf_sanlock_session_guarantee(take->session, vm->driver);
        r = take_for_start(take, acquire, &fd, err);
        if (r < 0)
                return r;
        hf_sanlock_guard_keep(&guard);
        result->fd = fd;
        result->guarantee = vm->n > 0 ? guarantee : HF_GUARANTEE_NONE;
        return 0;
}

static int by_pid(struct hf_sanlock_take *take, const struct hf_lock_acquire *acquire,
                  struct hf_lock_result *result, struct hf_lock_error *err)
{
        int r;

        if (take->vm->n == 0)
                return 0;
        r = hf_sanlock_session_open(take->session, acquire->deadline, err);
        if (r >= 0)
                r = hf_sanlock_session_ask(take->session, err);
        if (r >= 0)
                r = hf_sanlock_take_all(take, err);
        if (r < 0)
                return r;
        result->guarantee = hf_sanlock_session_guarantee(take->session, take->vm->driver);
        return 0;
}

/* Of a caller who demands nothing: what was noted when the VM was paused behind his back. */
static int find_demand(const struct hf_sanlock_vm *vm, const struct hf_lock_acquire *acquire,
                       bool *ret_noted, struct hf_sanlock_state *ret, struct hf_lock_error *err)
{
        int r;

        if (is_start(acquire) || (acquire->state && *acquire->state))
                return hf_sanlock_state_parse(acquire->state, ret, err);
        r = hf_sanlock_paused_demand(vm, ret, err);
        *ret_noted = ret->n > 0;
        return r;
}

/* A caller with versions of his own has taken all: older ones shall not be demanded after that. */
static void forget_noted(const struct hf_sanlock_vm *vm)
{
        hf_cleanup(hf_sanlock_state_clear) struct hf_sanlock_state noted = {0};
        struct hf_lock_error ignored = {.size = sizeof(ignored)};

        if (hf_sanlock_paused_demand(vm, &noted, &ignored) >= 0 && noted.n > 0)
                hf_sanlock_paused_done(vm, &noted);
}

int hf_sanlock_acquire(void *data, const struct hf_lock_acquire *acquire,
                       struct hf_lock_result *result, struct hf_lock_error *err)
{
        hf_cleanup_session struct hf_sanlock_session session = HF_SANLOCK_SESSION_INIT;
        hf_cleanup(hf_sanlock_state_clear) struct hf_sanlock_state demand = {0};
        hf_cleanup(hf_sanlock_take_done) struct hf_sanlock_take take = {
                .vm = data,
                .session = &session,
                .demand = &demand,
                .holder = result->holder,
        };
        bool noted = false;
        int r = check_arguments(acquire, result, err);

        if (r >= 0)
                r = hf_driver_check_caller(&take.vm->who, is_start(acquire), err);
        if (r >= 0 && !(acquire->flags & HF_LOCK_ACQUIRE_REGISTER_ONLY))
                r = hf_sanlock_check_leases(take.vm, err);
        if (r >= 0)
                r = find_demand(take.vm, acquire, &noted, &demand, err);
        if (r < 0)
                return r;
        r = is_start(acquire) ? start(&take, acquire, result, err)
                              : by_pid(&take, acquire, result, err);
        if (r < 0 && noted && take.state)
                hf_sanlock_paused_failed(take.vm, &demand, take.state);
        if (r < 0 && HF_HAS(result, state))
                result->state = hf_steal_ptr(take.state);
        if (r >= 0 && noted)
                hf_sanlock_paused_done(take.vm, &demand);
        else if (r >= 0 && !is_start(acquire) && demand.n > 0)
                forget_noted(take.vm);
        return r;
}
