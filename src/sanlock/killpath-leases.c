/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sanlock/killpath.h"

#include "driver/sanlock/state.h"

static int fail(struct hf_error *err, int r, const char *what, const struct hf_lock_error *error)
{
        return hf_error_set(err, -r, HF_ERR_INTERNAL, HF_FROM_LOCKING, "%s: %s", what, error->text);
}

#define cleanup_state hf_cleanup(hf_sanlock_state_clear)

/*
 * The daemon forgets a lease although it cannot write that to the storage: what it holds is
 * asked again, and not what the release returned.
 */
static int release(pid_t pid, const struct hf_sanlock_state *held, struct hf_error *err)
{
        cleanup_state struct hf_sanlock_state left = {0};
        struct hf_lock_error error = {.size = sizeof(error)}, other = {.size = sizeof(other)};
        int released = hf_sanlock_state_release(pid, held, &error);
        int r = hf_sanlock_state_of(pid, &left, &other);

        if (r < 0)
                return fail(err, r, "it is paused; what it still holds is not known", &other);
        if (left.n == 0)
                return 0;
        return fail(err, released < 0 ? released : -EBUSY,
                    "it is paused and keeps leases, so that sanlock will end it", &error);
}

int hf_killpath_give_back(struct hf_killpath *vm, struct hf_error *err)
{
        cleanup_state struct hf_sanlock_state held = {0};
        hf_cleanup_free char *text = NULL;
        struct hf_lock_error error = {.size = sizeof(error)};
        int r = hf_sanlock_state_of(vm->note.pid, &held, &error);

        if (r >= 0)
                r = hf_sanlock_state_text(&held, &text, &error);
        if (r < 0)
                return fail(err, r, "it is paused; what it holds is not known", &error);
        if (!text)
                return 0;
        /* Before anything is given back: without the versions nobody could resume it safely. */
        r = hf_sanlock_note_state_write(&vm->note, text, err);
        return r < 0 ? r : release(vm->note.pid, &held, err);
}
