/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "driver/sanlock/paused.h"

#include "base/cleanup.h"
#include "driver/sanlock/note.h"

#include <string.h>

int hf_sanlock_paused_demand(const struct hf_sanlock_vm *vm, struct hf_sanlock_state *ret_demand,
                             struct hf_lock_error *err)
{
        hf_cleanup_sanlock_note struct hf_sanlock_note note = {0};
        hf_cleanup_free char *text = NULL;
        struct hf_error error = {0};
        int r;

        if (!hf_sanlock_note_has_state(&vm->driver->paths, vm->who.pid) ||
            !hf_sanlock_note_find(&vm->driver->paths, vm->who.pid, &note))
                return 0;
        r = hf_sanlock_note_state_read(&note, &text, &error);
        if (r == -ENOENT)
                return 0;
        return r < 0 ? hf_driver_fail(err, r, &error)
                     : hf_sanlock_state_parse(text, ret_demand, err);
}

static bool is_of(const struct hf_sanlock_vm *vm, const struct sanlk_resource *item)
{
        for (size_t i = 0; i < vm->n; i++)
                if (!strncmp(item->lockspace_name, vm->leases[i].lockspace, SANLK_NAME_LEN) &&
                    !strncmp(item->name, vm->leases[i].key, SANLK_NAME_LEN))
                        return true;
        return false;
}

void hf_sanlock_paused_done(const struct hf_sanlock_vm *vm, const struct hf_sanlock_state *demand)
{
        hf_cleanup_sanlock_note struct hf_sanlock_note note = {0};
        hf_cleanup_free char *path = NULL;

        for (int i = 0; i < demand->n; i++)
                if (!is_of(vm, demand->items[i]))
                        return;
        if (!hf_sanlock_note_find(&vm->driver->paths, vm->who.pid, &note))
                return;
        path = hf_sanlock_note_state_path(&note);
        if (path)
                (void)unlink(path);
}

/* The versions that a state tells of what is demanded, in place of those before. */
static int update(const char *more, const struct hf_sanlock_state *demand)
{
        hf_cleanup(hf_sanlock_state_clear) struct hf_sanlock_state now = {0};
        struct hf_lock_error error = {.size = sizeof(error)};
        int r = hf_sanlock_state_parse(more, &now, &error);

        for (int i = 0; i < demand->n && r >= 0; i++) {
                struct sanlk_resource *item = demand->items[i];
                const struct sanlk_resource *had = hf_sanlock_state_find(&now, item->lockspace_name,
                                                                         item->name);

                if (had && (item->flags & had->flags & SANLK_RES_LVER))
                        item->lver = had->lver;
        }
        return r;
}

void hf_sanlock_paused_failed(const struct hf_sanlock_vm *vm, const struct hf_sanlock_state *demand,
                              const char *more)
{
        hf_cleanup_sanlock_note struct hf_sanlock_note note = {0};
        struct hf_lock_error error = {.size = sizeof(error)};
        hf_cleanup_free char *text = NULL;

        /* Where that fails the older versions stay: the VM is refused, though it need not be. */
        if (!hf_sanlock_note_find(&vm->driver->paths, vm->who.pid, &note) ||
            update(more, demand) < 0 || hf_sanlock_state_text(demand, &text, &error) < 0 || !text)
                return;
        (void)hf_sanlock_note_state_write(&note, text, NULL);
}
