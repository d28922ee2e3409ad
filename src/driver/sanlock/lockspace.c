/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "driver/sanlock/lockspace.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "driver/error.h"
#include "driver/sanlock/timing.h"

#include <sanlock_admin.h>
#include <sanlock_rv.h>
#include <string.h>
#include <sys/stat.h>

/* How often to look whether the daemon has joined, which takes seconds. */
#define LOOK_NS 20000000L

/* What sanlock takes where nothing is said. */
#define IO_TIMEOUT_USUAL 10

/* Of version 3.8, which cannot be told another. */
#define WATCHDOG_FIRE 60

/* An attempt that fails within this time can be made again for its reason alone. */
#define QUICK_NS (3 * 1000000000ULL)

static void fill(const struct hf_sanlock_lockspace *from, struct sanlk_lockspace *ret)
{
        *ret = (struct sanlk_lockspace){
                .host_id = from->host_id,
                .host_id_disk = {.offset = from->offset},
        };
        memcpy(ret->name, from->name, SANLK_NAME_LEN);
        (void)snprintf(ret->host_id_disk.path, sizeof(ret->host_id_disk.path), "%s", from->path);
}

int hf_sanlock_lockspace_of_disks(const struct hf_sanlock_settings *settings,
                                  struct hf_sanlock_lockspace *ret, struct hf_lock_error *err)
{
        char *path = NULL;

        if (asprintf(&path, "%s/%s", settings->disk_lease_dir, HF_SANLOCK_DISKS) < 0)
                return hf_driver_no_memory(err);
        *ret = (struct hf_sanlock_lockspace){
                .name = HF_SANLOCK_DISKS,
                .path = path,
                .host_id = settings->host_id,
                .io_timeout = settings->io_timeout,
        };
        return 0;
}

void hf_sanlock_lockspace_clear(struct hf_sanlock_lockspace *lockspace)
{
        free(lockspace->path);
        lockspace->path = NULL;
}

/* What the daemon says of that lockspace: 1 and *ret, or 0, or a code of sanlock. */
static int find(const char *name, struct sanlk_lockspace *ret)
{
        hf_cleanup_free struct sanlk_lockspace *all = NULL;
        int n = 0, rv;

        rv = sanlock_get_lockspaces(&all, &n, 0);
        if (rv < 0)
                return rv;
        for (int i = 0; i < n; i++)
                if (!strncmp(all[i].name, name, SANLK_NAME_LEN)) {
                        *ret = all[i];
                        return 1;
                }
        return 0;
}

/* The daemon was told one path and we another, but they may lead to one file. */
static bool is_same_place(const struct sanlk_disk *joined, const char *path, uint64_t offset)
{
        char there[SANLK_PATH_LEN + 1];
        struct stat a, b;

        if (joined->offset != offset)
                return false;
        (void)snprintf(there, sizeof(there), "%.*s", SANLK_PATH_LEN, joined->path);
        return !strcmp(there, path) ||
               (stat(there, &a) == 0 && stat(path, &b) == 0 && a.st_dev == b.st_dev &&
                a.st_ino == b.st_ino && S_ISREG(a.st_mode));
}

/* Whether what is joined by that name is what was meant. */
static int check_joined(const struct hf_sanlock_lockspace *lockspace,
                        const struct sanlk_lockspace *joined, struct hf_lock_error *err)
{
        if (lockspace->host_id && joined->host_id != lockspace->host_id)
                return hf_driver_refuse(err, EINVAL, HF_LOCK_E_CONFIG,
                                        "lockspace %s: this host has joined it as host %llu, and "
                                        "the settings say host_id = %u",
                                        lockspace->name, (unsigned long long)joined->host_id,
                                        lockspace->host_id);
        if (*lockspace->path &&
            !is_same_place(&joined->host_id_disk, lockspace->path, lockspace->offset))
                return hf_driver_refuse(err, EINVAL, HF_LOCK_E_CONFIG,
                                        "lockspace %s: this host has joined another one of that "
                                        "name, in %.600s, not %.600s",
                                        lockspace->name, joined->host_id_disk.path,
                                        lockspace->path);
        return 1;
}

int hf_sanlock_lockspace_joined(const struct hf_sanlock_lockspace *lockspace,
                                struct hf_lock_error *err)
{
        struct sanlk_lockspace joined;
        int rv = find(lockspace->name, &joined);

        if (rv < 0)
                return hf_sanlock_fail(err, HF_SANLOCK_HOSTS, rv, "lockspace %s", lockspace->name);
        if (rv == 0)
                return 0;
        if (joined.flags & (SANLK_LSF_ADD | SANLK_LSF_REM))
                return hf_driver_refuse(err, EINPROGRESS, HF_LOCK_E_SYSTEM,
                                        "lockspace %s is just being %s", lockspace->name,
                                        joined.flags & SANLK_LSF_ADD ? "joined" : "left");
        return check_joined(lockspace, &joined, err);
}

int hf_sanlock_lockspace_check(const struct hf_sanlock_settings *settings,
                               struct hf_lock_error *err)
{
        hf_cleanup(hf_sanlock_lockspace_clear) struct hf_sanlock_lockspace lockspace = {0};
        struct sanlk_lockspace ls;
        int r = hf_sanlock_lockspace_of_disks(settings, &lockspace, err);

        if (r < 0)
                return r;
        /* The daemon compares all of it by itself, which costs less than to be told of all. */
        fill(&lockspace, &ls);
        if (settings->host_id && sanlock_inq_lockspace(&ls, 0) == 0)
                return 0;
        r = hf_sanlock_lockspace_joined(&lockspace, err);
        return r == -EINPROGRESS ? 0 : r;
}

/*
 * The I/O timeout of this host: that of its settings, else what the lockspace was made with. Others
 * read it from this host's own lease.
 */
static int read_timeout(const struct hf_sanlock_lockspace *lockspace, unsigned int *ret,
                        struct hf_lock_error *err)
{
        struct sanlk_lockspace ls;
        uint32_t io_timeout = 0;
        int rv;

        fill(lockspace, &ls);
        rv = sanlock_read_lockspace(&ls, 0, &io_timeout);
        if (rv < 0)
                return hf_sanlock_fail(err, HF_SANLOCK_JOIN, rv,
                                       "cannot join the lockspace %s in %s", lockspace->name,
                                       lockspace->path);
        if (lockspace->io_timeout)
                io_timeout = lockspace->io_timeout;
        *ret = io_timeout ? io_timeout : IO_TIMEOUT_USUAL;
        return 0;
}

/* The attempt has ended and the lockspace is not joined: why? */
static int explain(const struct hf_sanlock_lockspace *lockspace, unsigned int io_timeout,
                   uint64_t took, struct hf_lock_error *err)
{
        struct sanlk_lockspace ls;
        int rv = SANLK_HOSTID_BUSY;

        fill(lockspace, &ls);
        if (took < QUICK_NS)
                rv = sanlock_add_lockspace_timeout(&ls, 0, io_timeout);
        if (rv >= 0 || rv == -EEXIST)
                return 0;
        if (rv == SANLK_HOSTID_BUSY)
                return hf_sanlock_fail(
                        err, HF_SANLOCK_JOIN, rv,
                        "cannot join the lockspace %s as host %u (after %u s, of %u that it takes "
                        "to find that out)",
                        lockspace->name, lockspace->host_id, (unsigned int)(took / 1000000000),
                        hf_sanlock_timing(io_timeout, WATCHDOG_FIRE, 0).join_in_use);
        return hf_sanlock_fail(err, HF_SANLOCK_JOIN, rv, "cannot join the lockspace %s as host %u",
                               lockspace->name, lockspace->host_id);
}

static int still_joining(const struct hf_sanlock_lockspace *lockspace, unsigned int io_timeout,
                         struct hf_lock_error *err)
{
        struct hf_sanlock_timing timing = hf_sanlock_timing(io_timeout, WATCHDOG_FIRE, 0);

        return hf_driver_refuse(
                err, ETIMEDOUT, HF_LOCK_E_TIMEOUT,
                "this host is still joining the lockspace %s, which goes on: it takes about %u s, "
                "and up to %u s where a host that was host %u before has crashed",
                lockspace->name, timing.join, timing.join_again, lockspace->host_id);
}

/* Waits for a join that is under way. */
static int await(const struct hf_sanlock_lockspace *lockspace, unsigned int io_timeout,
                 uint64_t deadline, struct hf_lock_error *err)
{
        const struct timespec pause = {.tv_nsec = LOOK_NS};
        uint64_t begun = hf_clock_nsec(CLOCK_MONOTONIC), now;
        struct sanlk_lockspace ls;
        int rv;

        fill(lockspace, &ls);
        for (;;) {
                rv = sanlock_inq_lockspace(&ls, 0);
                now = hf_clock_nsec(CLOCK_MONOTONIC);
                if (rv >= 0)
                        return 0;
                if (rv == -ENOENT)
                        return explain(lockspace, io_timeout, now - begun, err);
                if (rv != -EINPROGRESS)
                        return hf_sanlock_fail(err, HF_SANLOCK_JOIN, rv,
                                               "cannot join the lockspace %s", lockspace->name);
                if (now >= deadline)
                        return still_joining(lockspace, io_timeout, err);
                (void)nanosleep(&pause, NULL);
        }
}

static int join(const struct hf_sanlock_lockspace *lockspace, uint64_t deadline,
                struct hf_lock_error *err)
{
        struct sanlk_lockspace ls;
        unsigned int io_timeout = IO_TIMEOUT_USUAL;
        int r, rv;

        r = read_timeout(lockspace, &io_timeout, err);
        if (r < 0)
                return r;
        fill(lockspace, &ls);
        rv = sanlock_add_lockspace_timeout(&ls, SANLK_ADD_ASYNC, io_timeout);
        if (rv == -EEXIST)
                return 0;
        if (rv < 0 && rv != -EINPROGRESS)
                return hf_sanlock_fail(err, HF_SANLOCK_JOIN, rv,
                                       "cannot join the lockspace %s as host %u", lockspace->name,
                                       lockspace->host_id);
        return await(lockspace, io_timeout, deadline, err);
}

int hf_sanlock_lockspace_join(const struct hf_sanlock_lockspace *lockspace, uint64_t deadline,
                              struct hf_lock_error *err)
{
        struct hf_lock_error error = {.size = sizeof(error)};
        int r;

        if (lockspace->host_id == 0)
                return hf_driver_refuse(err, EINVAL, HF_LOCK_E_CONFIG,
                                        "cannot join the lockspace %s: this host has no number in "
                                        "it; set host_id, to another one on each host",
                                        lockspace->name);
        r = hf_sanlock_lockspace_joined(lockspace, &error);
        if (r == 0 || r == -EINPROGRESS)
                return join(lockspace, deadline, err);
        if (r < 0)
                *err = error;
        return r < 0 ? r : 0;
}
