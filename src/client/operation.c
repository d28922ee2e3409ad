/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Operations on a VM. Each makes a driver's object with what it is about, makes
 * one call, and ends the object again.
 */
#include "client/vm.h"

#include "base/cleanup.h"
#include "base/clock.h"

#include <string.h>

struct operation {
        const struct hf_lock_driver *ops;
        void *vm; /* the driver's */
        bool made;
};

static void end_operation(struct operation *operation)
{
        if (operation->made)
                operation->ops->vm_free(operation->vm);
}

#define cleanup_operation hf_cleanup(end_operation)

/* One resource of the operation. What the driver refuses then is the caller's mistake. */
static int add(struct operation *operation, const struct hf_vm_resource *resource,
               struct holdfast_error *err)
{
        const struct hf_lock_resource add = {
                .size = sizeof(add),
                .type = resource->type,
                .flags = resource->flags,
                .name = resource->name,
                .path = resource->path,
                .lockspace = resource->lockspace,
                .offset = resource->offset,
        };
        struct hf_lock_error error = {.size = sizeof(error)};
        int r = operation->ops->add_resource(operation->vm, &add, &error);

        return r < 0 ? hf_fail_from_driver(err, r, &error) : 0;
}

/* What an operation on one resource has to know of the VM. */
static uint32_t driver_flags(const struct holdfast_vm *vm)
{
        uint32_t flags = vm->flags & HOLDFAST_VM_LOCKS_IMAGES ? HF_LOCK_VM_LOCKS_IMAGES : 0;

        if (vm->flags & HOLDFAST_VM_CLIENT)
                flags |= HF_LOCK_VM_CLIENT;
        for (size_t i = 0; i < vm->n; i++)
                if (vm->resources[i].type == HF_LOCK_LEASE)
                        flags |= HF_LOCK_VM_HAS_LEASES;
        return flags;
}

/* An operation on n resources from index first; *ret is zeroed by the caller. */
static int begin(struct holdfast_vm *vm, size_t first, size_t n, struct operation *ret,
                 struct holdfast_error *err)
{
        const struct hf_lock_vm_params params = {
                .size = sizeof(params),
                .name = vm->name,
                .id = vm->id    ? vm->id
                      : vm->pid ? (uint32_t)vm->pid
                                : 1,
                .pid = vm->pid,
                .via = vm->via,
                .monitor = vm->monitor,
                .flags = driver_flags(vm),
        };
        struct hf_lock_vm_params with_uuid = params;
        struct hf_lock_error error = {.size = sizeof(error)};
        int r;

        vm->refused = false;
        memcpy(with_uuid.uuid, vm->uuid, sizeof(with_uuid.uuid));
        ret->ops = vm->driver.ops;
        r = ret->ops->vm_new(vm->driver.data, &with_uuid, &ret->vm, &error);
        if (r < 0)
                return hf_fail_from_driver(err, r, &error);
        ret->made = true;
        for (size_t i = first; i < first + n; i++) {
                r = add(ret, &vm->resources[i], err);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* For what is asked from another process. */
static int need_pid(const struct holdfast_vm *vm, struct holdfast_error *err)
{
        if (vm->flags & HOLDFAST_VM_CLIENT)
                return hf_fail(err, EOPNOTSUPP, HOLDFAST_E_UNSUPPORTED,
                               "%s is no VM: what its start has taken is given back by closing "
                               "the descriptor",
                               vm->name);
        if (vm->pid > 0)
                return 0;
        return hf_fail(err, EINVAL, HOLDFAST_E_INVALID,
                       "VM %s: the pid of its VMM is not known (holdfast_vm_set_pid)", vm->name);
}

static uint64_t deadline_in(int timeout_ms)
{
        if (timeout_ms < 0)
                return UINT64_MAX;
        return hf_clock_nsec(CLOCK_MONOTONIC) + (uint64_t)timeout_ms * 1000000;
}

static void fill_holder(const struct hf_lock_holder *from, struct holdfast_holder *ret)
{
        *ret = (struct holdfast_holder){.size = ret->size};
        (void)snprintf(ret->name, sizeof(ret->name), "%s", from->name);
        (void)snprintf(ret->host, sizeof(ret->host), "%s", from->host);
        (void)snprintf(ret->via, sizeof(ret->via), "%s", from->via);
        (void)snprintf(ret->resource, sizeof(ret->resource), "%s", from->resource);
        memcpy(ret->uuid, from->uuid, sizeof(ret->uuid));
        ret->pid = from->pid;
        ret->since = from->since;
        ret->shared = from->shared;
        ret->host_id = from->host_id;
        ret->generation = from->generation;
        (void)snprintf(ret->state, sizeof(ret->state), "%s", from->state);
}

/* The driver's words in those of the library. */
static void tell_of_waiting(void *ctx, const struct hf_lock_waiting *from)
{
        const struct holdfast_vm *vm = ctx;
        struct holdfast_holder holder = {.size = sizeof(holder)};
        const struct holdfast_waiting waiting = {
                .size = sizeof(waiting),
                .position = from->position,
                .since = from->since,
                .resource = from->resource,
                .text = from->text,
                .holder = &holder,
        };

        fill_holder(from->holder, &holder);
        vm->waiting(vm->waiting_ctx, &waiting);
}

static bool can_wait(const struct holdfast_vm *vm)
{
        return vm->driver.ops->capabilities & HF_LOCK_CAP_WAIT;
}

static void set_wait(struct holdfast_vm *vm, struct hf_lock_acquire *args)
{
        if (!vm->wait_ms || !can_wait(vm))
                return;
        args->wait_until = vm->wait_ms < 0 ? HF_LOCK_WAIT_FOREVER : deadline_in(vm->wait_ms);
        args->waiting = vm->waiting ? tell_of_waiting : NULL;
        args->waiting_ctx = vm;
}

/* Notes who was in the way. */
static int failed(struct holdfast_vm *vm, int r, const struct hf_lock_error *error,
                  struct holdfast_error *err)
{
        vm->refused = r == -EBUSY;
        if (!vm->refused || !vm->wait_ms || can_wait(vm))
                return hf_fail_from_driver(err, r, error);
        vm->refused = false;
        return hf_fail(err, EOPNOTSUPP, HOLDFAST_E_UNSUPPORTED,
                       "%.900s, and the lock driver %s cannot wait", error->text,
                       vm->driver.ops->name);
}

/*
 * Adds to a state, which vm remembers then: of what was given back, or what a failed call says of
 * its own use. Takes over more.
 */
static int keep_state(struct holdfast_vm *vm, const char *state, char *more,
                      struct holdfast_error *err)
{
        hf_cleanup_free char *added = more;
        char *both = NULL;

        if (!added || !*added)
                return 0;
        if (asprintf(&both, "%s%s%s", state ? state : "", state && *state ? " " : "", added) < 0)
                return hf_fail_no_memory(err);
        hf_vm_forget_state(vm);
        vm->state = both;
        return 0;
}

/* Fills the fields that every acquire has, calls it, and keeps what it says. */
static int acquire(struct holdfast_vm *vm, struct operation *operation,
                   struct hf_lock_acquire *args, int *ret_fd, struct holdfast_error *err)
{
        struct hf_lock_error error = {.size = sizeof(error)};
        struct hf_lock_result result = {
                .size = sizeof(result),
                .fd = -1,
                .lost_fd = -1,
                .holder = &vm->holder,
        };
        int r;

        args->size = sizeof(*args);
        args->action = vm->action;
        args->deadline = deadline_in(vm->timeout_ms);
        if (!(args->flags & HF_LOCK_ACQUIRE_REGISTER_ONLY))
                set_wait(vm, args);
        vm->holder = (struct hf_lock_holder){.size = sizeof(vm->holder)};
        r = operation->ops->acquire(operation->vm, args, &result, &error);
        if (r < 0) {
                (void)keep_state(vm, args->state, result.state, NULL);
                return failed(vm, r, &error, err);
        }
        vm->guarantee = result.guarantee;
        if (ret_fd)
                *ret_fd = result.fd;
        return 0;
}

HF_PUBLIC int holdfast_vm_start(struct holdfast_vm *vm, unsigned int flags, int *ret_fd,
                                struct holdfast_error *err)
{
        cleanup_operation struct operation operation = {0};
        struct hf_lock_acquire args = {
                .flags = HF_LOCK_ACQUIRE_RESTRICT,
                .want_connection = 1,
        };
        int r;

        if (flags & ~(unsigned int)HOLDFAST_START_PAUSED)
                return hf_fail(err, EINVAL, HOLDFAST_E_INVALID,
                               "VM %s: unknown flags 0x%x of start", vm->name, flags);
        if (vm->pid && vm->pid != getpid())
                return hf_fail(err, EINVAL, HOLDFAST_E_INVALID,
                               "VM %s has to be started by its own process (pid %d), not by pid %d",
                               vm->name, vm->pid, getpid());
        vm->pid = getpid();
        if (vm->keep_descriptors)
                args.flags |= HF_LOCK_ACQUIRE_DESCRIPTORS;
        if (flags & HOLDFAST_START_PAUSED)
                args.flags |= HF_LOCK_ACQUIRE_REGISTER_ONLY;
        r = begin(vm, 0, vm->n, &operation, err);
        if (r >= 0)
                r = acquire(vm, &operation, &args, ret_fd, err);
        if (r >= 0)
                hf_vm_forget_state(vm);
        return r;
}

HF_PUBLIC int holdfast_vm_resume(struct holdfast_vm *vm, const char *state,
                                 struct holdfast_error *err)
{
        cleanup_operation struct operation operation = {0};
        struct hf_lock_acquire args = {.state = state ? state : vm->state};
        int r;

        r = need_pid(vm, err);
        if (r >= 0)
                r = begin(vm, 0, vm->n, &operation, err);
        if (r >= 0)
                r = acquire(vm, &operation, &args, NULL, err);
        if (r >= 0)
                hf_vm_forget_state(vm);
        return r;
}

typedef int (*state_call)(void *vm, char **ret_state, struct hf_lock_error *err);

static int call_for_state(struct operation *operation, state_call call, char **ret_state,
                          struct holdfast_error *err)
{
        struct hf_lock_error error = {.size = sizeof(error)};
        int r = call(operation->vm, ret_state, &error);

        return r < 0 ? hf_fail_from_driver(err, r, &error) : 0;
}

static int give_state(const struct holdfast_vm *vm, char **ret_state, struct holdfast_error *err)
{
        if (!ret_state)
                return 0;
        *ret_state = vm->state ? strdup(vm->state) : NULL;
        return vm->state && !*ret_state ? hf_fail_no_memory(err) : 0;
}

HF_PUBLIC int holdfast_vm_pause(struct holdfast_vm *vm, char **ret_state,
                                struct holdfast_error *err)
{
        cleanup_operation struct operation operation = {0};
        char *state = NULL;
        int r, kept;

        r = need_pid(vm, err);
        if (r >= 0)
                r = begin(vm, 0, vm->n, &operation, err);
        if (r < 0)
                return r;
        r = call_for_state(&operation, operation.ops->release, &state, err);
        kept = keep_state(vm, vm->state, state, r < 0 ? NULL : err);
        if (r < 0 || kept < 0)
                return r < 0 ? r : kept;
        return give_state(vm, ret_state, err);
}

HF_PUBLIC int holdfast_vm_inquire(struct holdfast_vm *vm, char **ret_state,
                                  struct holdfast_error *err)
{
        cleanup_operation struct operation operation = {0};
        char *state = NULL;
        int r = begin(vm, 0, vm->n, &operation, err);

        if (r >= 0)
                r = call_for_state(&operation, operation.ops->inquire, &state, err);
        if (r >= 0 && ret_state)
                *ret_state = state;
        else
                free(state);
        return r;
}

/* What is attached to a paused VM was used meanwhile, by itself. */
static void refresh_state(struct holdfast_vm *vm, struct operation *operation)
{
        char *state = NULL;

        if (vm->state && call_for_state(operation, operation->ops->inquire, &state, NULL) >= 0)
                (void)keep_state(vm, vm->state, state, NULL);
}

static int attach(struct holdfast_vm *vm, const struct hf_lock_resource *resource,
                  struct holdfast_error *err)
{
        cleanup_operation struct operation operation = {0};
        struct hf_lock_acquire args = {0};
        int r;

        r = need_pid(vm, err);
        if (r >= 0)
                r = hf_vm_append(vm, resource, err);
        if (r < 0)
                return r;
        r = begin(vm, vm->n - 1, 1, &operation, err);
        if (r >= 0)
                r = acquire(vm, &operation, &args, NULL, err);
        if (r < 0)
                hf_vm_remove(vm, vm->n - 1);
        else
                refresh_state(vm, &operation);
        return r;
}

/* Also of a resource that this object was never told of: another process may have attached it. */
static int detach(struct holdfast_vm *vm, const struct hf_lock_resource *resource,
                  struct holdfast_error *err)
{
        cleanup_operation struct operation operation = {0};
        ssize_t index = hf_vm_find(vm, resource);
        bool known = index >= 0;
        char *state = NULL;
        int r;

        r = need_pid(vm, err);
        if (r >= 0 && !known) {
                r = hf_vm_append(vm, resource, err);
                index = (ssize_t)vm->n - 1;
        }
        if (r < 0)
                return r;
        r = begin(vm, (size_t)index, 1, &operation, err);
        if (r >= 0)
                r = call_for_state(&operation, operation.ops->release, &state, err);
        free(state);
        if (r >= 0 || !known)
                hf_vm_remove(vm, (size_t)index);
        return r;
}

HF_PUBLIC int holdfast_vm_attach_disk(struct holdfast_vm *vm, const char *path, unsigned int flags,
                                      struct holdfast_error *err)
{
        struct hf_lock_resource disk = hf_vm_disk(path, flags);

        return attach(vm, &disk, err);
}

HF_PUBLIC int holdfast_vm_detach_disk(struct holdfast_vm *vm, const char *path, unsigned int flags,
                                      struct holdfast_error *err)
{
        struct hf_lock_resource disk = hf_vm_disk(path, flags);

        return detach(vm, &disk, err);
}

HF_PUBLIC int holdfast_vm_attach_lease(struct holdfast_vm *vm, const char *lockspace,
                                       const char *key, const char *path, uint64_t offset,
                                       struct holdfast_error *err)
{
        struct hf_lock_resource lease = hf_vm_lease(lockspace, key, path, offset);

        return attach(vm, &lease, err);
}

HF_PUBLIC int holdfast_vm_detach_lease(struct holdfast_vm *vm, const char *lockspace,
                                       const char *key, const char *path, uint64_t offset,
                                       struct holdfast_error *err)
{
        struct hf_lock_resource lease = hf_vm_lease(lockspace, key, path, offset);

        return detach(vm, &lease, err);
}

HF_PUBLIC int holdfast_vm_refusal(const struct holdfast_vm *vm, struct holdfast_holder *ret)
{
        struct holdfast_holder full = {.size = ret->size};

        if (!vm->refused || !HF_HAS(ret, shared))
                return 0;
        fill_holder(&vm->holder, &full);
        /* A caller of an older version has no room for all of it. */
        memcpy(ret, &full, ret->size < sizeof(full) ? ret->size : sizeof(full));
        return 1;
}

HF_PUBLIC unsigned int holdfast_vm_guarantee(const struct holdfast_vm *vm)
{
        return vm->guarantee;
}

/* What a look is told of, in the words of the library. */
struct looking {
        void (*tell)(void *ctx, const struct holdfast_holder *holder);
        void *ctx;
};

static void tell_of_holder(void *ctx, const struct hf_lock_holder *from)
{
        const struct looking *looking = ctx;
        struct holdfast_holder holder = {.size = sizeof(holder)};

        fill_holder(from, &holder);
        looking->tell(looking->ctx, &holder);
}

HF_PUBLIC int holdfast_vm_look(struct holdfast_vm *vm,
                               void (*tell)(void *ctx, const struct holdfast_holder *holder),
                               void *ctx, unsigned int *ret_guarantee, struct holdfast_error *err)
{
        cleanup_operation struct operation operation = {0};
        struct looking looking = {tell, ctx};
        struct hf_lock_look look = {
                .size = sizeof(look),
                .holder = tell ? tell_of_holder : NULL,
                .holder_ctx = &looking,
        };
        struct hf_lock_error error = {.size = sizeof(error)};
        int r;

        if (!HF_HAS(vm->driver.ops, look) || !vm->driver.ops->look)
                return hf_fail(err, EOPNOTSUPP, HOLDFAST_E_UNSUPPORTED,
                               "the lock driver %s cannot say who holds what",
                               vm->driver.ops->name);
        r = begin(vm, 0, vm->n, &operation, err);
        if (r < 0)
                return r;
        r = operation.ops->look(operation.vm, &look, &error);
        if (r < 0)
                return hf_fail_from_driver(err, r, &error);
        if (ret_guarantee)
                *ret_guarantee = look.guarantee;
        return 0;
}
