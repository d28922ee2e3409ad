/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Giving back, and asking what there would be to give back. */
#include "driver/error.h"
#include "driver/sanlock/lockspace.h"
#include "driver/sanlock/sanlock.h"
#include "driver/sanlock/state.h"
#include "driver/sanlock/uses.h"

#include "base/cleanup.h"

#include <string.h>

/* The items of *held, whose they stay, that are leases of this operation. */
static int select_own(const struct hf_sanlock_vm *vm, const struct hf_sanlock_state *held,
                      struct hf_sanlock_state *ret, struct hf_lock_error *err)
{
        ret->items = calloc((size_t)held->n + 1, sizeof(*ret->items));
        if (!ret->items)
                return hf_driver_no_memory(err);
        for (int i = 0; i < held->n; i++) {
                const struct sanlk_resource *item = held->items[i];

                for (size_t j = 0; j < vm->n; j++)
                        if (!strncmp(item->lockspace_name, vm->leases[j].lockspace,
                                     SANLK_NAME_LEN) &&
                            !strncmp(item->name, vm->leases[j].key, SANLK_NAME_LEN)) {
                                ret->items[ret->n++] = held->items[i];
                                break;
                        }
        }
        return 0;
}

/* What the VM holds of this operation's. A VM that is not registered holds nothing. */
static int look(const struct hf_sanlock_vm *vm, struct hf_sanlock_state *ret_all,
                struct hf_sanlock_state *ret_own, struct hf_lock_error *err)
{
        struct hf_lock_error error = {.size = sizeof(error)};
        int r = hf_sanlock_state_of(vm->who.pid, ret_all, &error);

        if (r < 0 && r != -ESRCH) {
                *err = error;
                return r;
        }
        return select_own(vm, ret_all, ret_own, err);
}

static void free_items(struct hf_sanlock_state *state)
{
        free(state->items);
}

static int give_or_tell(const struct hf_sanlock_vm *vm, bool give, char **ret_state,
                        struct hf_lock_error *err)
{
        hf_cleanup(hf_sanlock_state_clear) struct hf_sanlock_state all = {0};
        hf_cleanup(free_items) struct hf_sanlock_state own = {0};
        hf_cleanup_free char *text = NULL;
        int r;

        if (vm->n > 0 && vm->who.pid > 0) {
                r = look(vm, &all, &own, err);
                if (r >= 0)
                        r = hf_sanlock_state_text(&own, &text, err);
                if (r < 0)
                        return r;
        }
        /* Set before anything is given back, and not lost where that fails half way. */
        if (ret_state)
                *ret_state = hf_steal_ptr(text);
        return give && own.n > 0 ? hf_sanlock_state_release(vm->who.pid, &own, err) : 0;
}

int hf_sanlock_release(void *data, char **ret_state, struct hf_lock_error *err)
{
        const struct hf_sanlock_vm *vm = data;
        int r = hf_driver_check_caller(&vm->who, false, err);

        return r < 0 ? r : give_or_tell(vm, true, ret_state, err);
}

/* What the settings alone would make of a start; that there is no daemon is found elsewhere. */
static int check_settings(const struct hf_sanlock_vm *vm, struct hf_lock_error *err)
{
        const struct hf_sanlock_settings *settings = &vm->driver->settings;
        struct hf_lock_error error = {.size = sizeof(error)};
        bool made = false;
        int r;

        for (size_t i = 0; i < vm->n; i++)
                made = made || vm->leases[i].made;
        if (!made)
                return 0;
        r = hf_sanlock_lockspace_check(settings, &error);
        if (r < 0 && error.code == HF_LOCK_E_CONFIG) {
                *err = error;
                return r;
        }
        if (r == 0 && settings->host_id == 0)
                return hf_driver_refuse(err, EINVAL, HF_LOCK_E_CONFIG,
                                        "this host is not in the lockspace of disks' leases, and "
                                        "cannot join it: set host_id, to another one on each host");
        return 0;
}

int hf_sanlock_inquire(void *data, char **ret_state, struct hf_lock_error *err)
{
        const struct hf_sanlock_vm *vm = data;
        int r = hf_sanlock_check_leases(vm, err);

        /* Of a VM that is to be started. */
        if (r >= 0 && vm->who.pid <= 0)
                r = check_settings(vm, err);
        return r < 0 ? r : give_or_tell(vm, false, ret_state, err);
}
