/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The callback look: who holds what was added, what a lease would be worth here, and what would
 * keep an acquire from being tried. It takes nothing, joins nothing and makes nothing.
 */

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/sized.h"
#include "driver/sanlock/codes.h"
#include "driver/sanlock/health.h"
#include "driver/sanlock/holders.h"
#include "driver/sanlock/sanlock.h"

#include <errno.h>
#include <string.h>

/* Two programs are run, which answer at once unless the daemon is stuck. */
#define LOOK_NS (10 * 1000000000ULL)

static void warn_of(void *ctx, enum hf_sanlock_grade grade, const char *text)
{
        const struct hf_sanlock_driver *driver = ctx;

        (void)grade;
        if (driver->warn)
                driver->warn(driver->warn_ctx, text);
}

/* A lease about which nobody could be asked: nothing is known of its holders. */
static int refuse_unreadable(const struct hf_sanlock_lease *lease, int rv,
                             struct hf_lock_error *err)
{
        /* One that is not there is made by the first VM, and nobody has it. */
        if (lease->made && hf_sanlock_code(HF_SANLOCK_READ, rv)->number == ENOENT)
                return 0;
        return hf_sanlock_fail(err, HF_SANLOCK_READ, rv, "cannot look at the lease of %s, in %s",
                               lease->label, lease->path);
}

/* A file by a path through links has two leases, and its holder mostly both. */
struct told {
        pid_t pid;
        uint32_t host_id;
        const char *label; /* of the lease */
};

struct telling {
        const struct hf_lock_look *look;
        const struct hf_sanlock_lease *lease;
        struct told *told;
        size_t n;
};

static void telling_done(struct telling *telling)
{
        free(telling->told);
}

static void tell_once(void *ctx, const struct hf_lock_holder *holder)
{
        struct telling *telling = ctx;
        const char *label = telling->lease->label;
        struct told *grown;

        for (size_t i = 0; i < telling->n; i++)
                if (telling->told[i].pid == holder->pid &&
                    telling->told[i].host_id == holder->host_id &&
                    !strcmp(telling->told[i].label, label))
                        return;
        grown = reallocarray(telling->told, telling->n + 1, sizeof(*grown));
        if (grown) {
                telling->told = grown;
                grown[telling->n++] = (struct told){holder->pid, holder->host_id, label};
        }
        if (HF_HAS(telling->look, holder_ctx) && telling->look->holder)
                telling->look->holder(telling->look->holder_ctx, holder);
}

int hf_sanlock_look(void *vm_object, struct hf_lock_look *look, struct hf_lock_error *err)
{
        const struct hf_sanlock_vm *vm = vm_object;
        const struct hf_sanlock_driver *driver = vm->driver;
        hf_cleanup_holders struct hf_sanlock_holders holders = {
                .paths = &driver->paths,
                .deadline = hf_clock_nsec(CLOCK_MONOTONIC) + LOOK_NS,
                .self = vm->who.pid,
        };
        hf_cleanup(telling_done) struct telling telling = {.look = look};
        const struct hf_sanlock_daemon *status;
        struct hf_error error = {0};
        int r = 0;

        status = hf_sanlock_holders_status(&holders, &error);
        if (!status)
                return hf_driver_refuse(err, ECONNREFUSED, HF_LOCK_E_NO_DAEMON, "%s", error.text);
        hf_sanlock_health(&driver->settings, status, hf_clock_nsec(CLOCK_MONOTONIC) / 1000000000,
                          warn_of, (void *)(uintptr_t)driver);
        for (size_t i = 0; i < vm->n; i++) {
                int rv;

                telling.lease = &vm->leases[i];
                rv = hf_sanlock_holders_of(&holders, telling.lease, tell_once, &telling);
                /* The others are asked, and the first of such is told. */
                if (rv < 0 && r >= 0)
                        r = refuse_unreadable(&vm->leases[i], rv, err);
        }
        if (HF_HAS(look, guarantee))
                look->guarantee = vm->n == 0         ? HF_GUARANTEE_NONE
                                  : status->watchdog ? HF_GUARANTEE_CLUSTER_FENCED
                                                     : HF_GUARANTEE_CLUSTER_ADVISORY;
        return r;
}
