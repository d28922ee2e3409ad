/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "driver/sanlock/guard.h"

#include "base/cleanup.h"

#include <string.h>

/* Each of enum hf_lock_action in sanlock's terms; -1: it has none. */
static const int actions[] = {
        [HF_LOCK_ACTION_DEFAULT] = HF_SANLOCK_ACTION_NONE,
        [HF_LOCK_ACTION_POWEROFF] = HF_SANLOCK_ACTION_POWEROFF,
        [HF_LOCK_ACTION_RESTART] = -1,
        [HF_LOCK_ACTION_PAUSE] = HF_SANLOCK_ACTION_PAUSE,
        [HF_LOCK_ACTION_IGNORE] = -1,
};

static int find_action(const struct hf_sanlock_vm *vm, unsigned int action, int *ret,
                       struct hf_lock_error *err)
{
        if (action == HF_LOCK_ACTION_IGNORE)
                return hf_driver_refuse(
                        err, EOPNOTSUPP, HF_LOCK_E_UNSUPPORTED,
                        "VM %s: a VM that loses a lease of sanlock cannot go on with a warning "
                        "only (on_lost), for others may then write to its disks: choose pause or "
                        "kill",
                        vm->who.name);
        if (action >= HF_ARRAY_LEN(actions) || actions[action] < 0)
                return hf_driver_refuse(
                        err, EOPNOTSUPP, HF_LOCK_E_UNSUPPORTED,
                        "VM %s: a VM that loses a lease of sanlock cannot be started again here "
                        "(action %u): its leases would be in the lockspace that has failed",
                        vm->who.name, action);
        *ret = actions[action];
        return 0;
}

/* Better known before than found out. */
static void warn_of(const struct hf_sanlock_vm *vm, int action)
{
        if (action == HF_SANLOCK_ACTION_PAUSE && !vm->who.monitor && vm->driver->warn)
                vm->driver->warn(vm->driver->warn_ctx,
                                 "without a monitor a VM that loses its leases cannot be paused in "
                                 "order: it is stopped at once, and ended by sanlock after that");
}

static char *copy(const char *text, bool *failed)
{
        char *made = text ? strdup(text) : NULL;

        *failed = *failed || (text && !made);
        return made;
}

static bool fill(struct hf_sanlock_note *note, const struct hf_sanlock_vm *vm)
{
        const unsigned char *u = vm->who.uuid;
        bool failed = false;

        note->name = copy(vm->who.name, &failed);
        note->via = copy(vm->who.via, &failed);
        note->monitor = copy(vm->who.monitor, &failed);
        note->run_dir = copy(secure_getenv("SANLOCK_RUN_DIR"), &failed);
        if (asprintf(&note->uuid,
                     "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", u[0],
                     u[1], u[2], u[3], u[4], u[5], u[6], u[7], u[8], u[9], u[10], u[11], u[12],
                     u[13], u[14], u[15]) < 0)
                note->uuid = NULL;
        return !failed && note->uuid;
}

int hf_sanlock_guard_prepare(struct hf_sanlock_guard *guard, const struct hf_sanlock_vm *vm,
                             unsigned int action, struct hf_lock_error *err)
{
        struct hf_error error = {0};
        int r;

        if (vm->who.flags & HF_LOCK_VM_CLIENT)
                return 0;
        r = find_action(vm, action, &guard->note.action, err);
        if (r < 0)
                return r;
        warn_of(vm, guard->note.action);
        if (!fill(&guard->note, vm))
                return hf_driver_no_memory(err);
        r = hf_sanlock_note_write(&vm->driver->paths, &guard->note, &error);
        if (r < 0)
                return hf_driver_fail(err, r, &error);
        guard->written = true;
        return 0;
}

int hf_sanlock_guard_arm(struct hf_sanlock_guard *guard, struct hf_sanlock_session *session,
                         struct hf_lock_error *err)
{
        struct hf_error error = {0};
        int r;

        if (!guard->written || guard->note.action == HF_SANLOCK_ACTION_NONE)
                return 0;
        hf_sanlock_session_limit(session);
        r = hf_sanlock_note_arm(session->fd, &guard->note, &error);
        return r < 0 ? hf_driver_fail(err, r, &error) : 0;
}

void hf_sanlock_guard_keep(struct hf_sanlock_guard *guard)
{
        guard->written = false;
}

void hf_sanlock_guard_done(struct hf_sanlock_guard *guard)
{
        if (guard->written && guard->note.path)
                (void)unlink(guard->note.path);
        hf_sanlock_note_clear(&guard->note);
}
