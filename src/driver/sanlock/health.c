/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "driver/sanlock/health.h"

#include "base/cleanup.h"
#include "driver/sanlock/codes.h"
#include "driver/sanlock/lease.h"
#include "driver/sanlock/timing.h"

#include <sanlock_admin.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct listener {
        hf_sanlock_tell_fn tell;
        void *ctx;
};

static void __attribute__((format(printf, 3, 4)))
say(const struct listener *to, enum hf_sanlock_grade grade, const char *format, ...)
{
        char text[HF_SANLOCK_HEALTH_TEXT_MAX];
        va_list args;

        va_start(args, format);
        (void)vsnprintf(text, sizeof(text), format, args);
        va_end(args);
        to->tell(to->ctx, grade, text);
}

const struct hf_sanlock_space *hf_sanlock_space_of(const struct hf_sanlock_daemon *status,
                                                   const char *lockspace)
{
        for (size_t i = 0; i < status->n_spaces; i++)
                if (!strcmp(status->spaces[i].name, lockspace))
                        return &status->spaces[i];
        return NULL;
}

bool hf_sanlock_space_fails(const struct hf_sanlock_space *space)
{
        return space->killing || space->renew_fail > 0;
}

/* Nobody has joined what the first VM would: can it? */
static void not_joined(const char *path, const struct hf_sanlock_daemon *status,
                       const struct listener *to)
{
        struct sanlk_lockspace ls = {.name = HF_SANLOCK_DISKS};
        struct hf_sanlock_timing timing;
        uint32_t io_timeout = 0;
        int rv;

        if (strlen(path) >= sizeof(ls.host_id_disk.path))
                return;
        (void)snprintf(ls.host_id_disk.path, sizeof(ls.host_id_disk.path), "%s", path);
        rv = sanlock_read_lockspace(&ls, 0, &io_timeout);
        if (rv < 0 && hf_sanlock_code(HF_SANLOCK_JOIN, rv)->number == ENOENT) {
                say(to, HF_SANLOCK_NOTE,
                    "there is no lockspace %s yet; 'holdfast sanlock init' makes it, and so does "
                    "the first VM",
                    path);
                return;
        }
        if (rv < 0) {
                say(to, HF_SANLOCK_TROUBLE, "the lockspace %s cannot be joined: %s (sanlock: %d)",
                    path, hf_sanlock_code(HF_SANLOCK_JOIN, rv)->text, rv);
                return;
        }
        timing = hf_sanlock_timing(io_timeout, status->watchdog_fire, status->grace);
        say(to, HF_SANLOCK_NOTE,
            "this host has not joined the lockspace %s; the first VM waits for that %u s, or %u s "
            "if the host has crashed; 'holdfast sanlock join' does it before",
            path, timing.join, timing.join_again);
}

static void check_disks(const struct hf_sanlock_settings *settings,
                        const struct hf_sanlock_daemon *status, const struct listener *to)
{
        const struct hf_sanlock_space *space = hf_sanlock_space_of(status, HF_SANLOCK_DISKS);
        hf_cleanup_free char *path = NULL;

        if (!settings->auto_disk_leases)
                return;
        if (asprintf(&path, "%s/%s", settings->disk_lease_dir, HF_SANLOCK_DISKS) < 0) {
                path = NULL;
                return;
        }
        if (settings->host_id == 0)
                say(to, space ? HF_SANLOCK_NOTE : HF_SANLOCK_TROUBLE,
                    "host_id is not set: leases of disks need it, and it must be another one on "
                    "each host");
        if (!space) {
                not_joined(path, status, to);
                return;
        }
        if (settings->host_id && space->host_id != settings->host_id)
                say(to, HF_SANLOCK_TROUBLE,
                    "this host has joined the lockspace %s as host %llu, but the settings say "
                    "host_id = %u: leave it and join again",
                    path, (unsigned long long)space->host_id, settings->host_id);
        if (strcmp(space->path, path) != 0)
                say(to, HF_SANLOCK_TROUBLE,
                    "this host has joined the lockspace of disks in %s, but the settings say %s: "
                    "hosts that use another one are not kept out",
                    space->path, path);
        if (space->adding || space->removing)
                say(to, HF_SANLOCK_NOTE, "this host is just %s the lockspace %s",
                    space->adding ? "joining" : "leaving", path);
}

static void check_renewals(const struct hf_sanlock_space *space,
                           const struct hf_sanlock_daemon *status, uint64_t now,
                           const struct listener *to)
{
        struct hf_sanlock_timing timing = hf_sanlock_timing(space->io_timeout,
                                                            status->watchdog_fire, status->grace);
        uint64_t silent = now > space->last_success ? now - space->last_success : 0;

        if (space->killing)
                say(to, HF_SANLOCK_TROUBLE,
                    "the lockspace %s is lost, its storage (%s) has not answered for %llu s: its "
                    "VMs are being ended%s",
                    space->name, space->path, (unsigned long long)silent,
                    status->watchdog ? ", and unless that succeeds this host is reset" : "");
        else if (hf_sanlock_space_fails(space))
                say(to, HF_SANLOCK_TROUBLE,
                    "the storage of the lockspace %s (%s) has not answered for %llu s: its VMs are "
                    "acted on in %llu s",
                    space->name, space->path, (unsigned long long)silent,
                    (unsigned long long)(silent < timing.failed ? timing.failed - silent : 0));
}

void hf_sanlock_health(const struct hf_sanlock_settings *settings,
                       const struct hf_sanlock_daemon *status, uint64_t now,
                       hf_sanlock_tell_fn tell, void *ctx)
{
        const struct listener to = {tell, ctx};

        if (!status->watchdog)
                say(&to, HF_SANLOCK_WARNING,
                    "the sanlock daemon runs without a watchdog: a host that hangs is not reset "
                    "before others take its leases");
        check_disks(settings, status, &to);
        for (size_t i = 0; i < status->n_spaces; i++)
                check_renewals(&status->spaces[i], status, now, &to);
}
