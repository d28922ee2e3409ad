/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sanlock/sweep.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "driver/error.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <sanlock_admin.h>
#include <sanlock_resource.h>
#include <sanlock_rv.h>
#include <string.h>
#include <sys/stat.h>

/* The lease of whoever sweeps; also the name of its file. No disk's is called so. */
#define SWEEPER ".holdfast-cleanup"

/* What a lease is called that is being removed. */
#define REMOVED "holdfast-removed"

/* Files under way: made within seconds, so what is older is left over. */
#define UNDER_WAY   ".holdfast-"
#define UNDER_WAY_X 6
#define UNDER_WAY_S 3600

/* Of asking who holds a lease, in a dry run. */
#define ASK_NS (60 * 1000000000ULL)

/* The MD5 of a path in hexadecimal digits. */
#define KEY_LEN 32

struct sweeping {
        const struct hf_sweep *sweep;
        int socket; /* registered with sanlock; closed, it gives back all that it has */
        time_t now;
        struct hf_sanlock_holders holders;
};

static void __attribute__((format(printf, 4, 5)))
tell(const struct sweeping *sweeping, enum hf_sweep_outcome outcome, const char *path,
     const char *format, ...)
{
        char why[HF_LOCK_ERROR_TEXT_MAX];
        va_list args;

        va_start(args, format);
        (void)vsnprintf(why, sizeof(why), format, args);
        va_end(args);
        sweeping->sweep->tell(sweeping->sweep->ctx, outcome, path, why);
}

static void remove_file(const struct sweeping *sweeping, const char *path,
                        enum hf_sweep_outcome outcome)
{
        if (unlink(path) < 0 && errno != ENOENT)
                tell(sweeping, HF_SWEEP_FAILED, path, "cannot remove %s: %s", path,
                     strerror(errno));
        else
                tell(sweeping, outcome, path, "%s", "");
}

/* ---- one lease --------------------------------------------------------------------------- */

static int acquire(const struct sweeping *sweeping, struct hf_sanlock_resource *resource)
{
        struct sanlk_resource *arg = &resource->res;
        struct sanlk_options options = {.owner_name = "holdfast sanlock cleanup"};

        return sanlock_acquire(sweeping->socket, -1, SANLK_ACQUIRE_OWNER_NOWAIT, 1, &arg, &options);
}

/* Gives it back so that nobody can take it by its old name any more. */
static int give_up(const struct sweeping *sweeping, struct hf_sanlock_resource *resource)
{
        struct hf_sanlock_resource renamed = *resource;
        struct sanlk_resource *args[] = {&resource->res, &renamed.res};

        memset(renamed.res.name, 0, sizeof(renamed.res.name));
        memcpy(renamed.res.name, REMOVED, strlen(REMOVED));
        return sanlock_release(sweeping->socket, -1, SANLK_REL_RENAME, HF_ARRAY_LEN(args), args);
}

/* Whether what lies there is what an earlier sweep gave up. */
static bool is_given_up(const struct hf_sanlock_resource *resource)
{
        struct hf_sanlock_resource found = *resource;

        memset(found.res.name, 0, sizeof(found.res.name));
        return sanlock_read_resource(&found.res, 0) >= 0 &&
               !strncmp(found.res.name, REMOVED, sizeof(found.res.name));
}

static bool is_refusal(int rv)
{
        const struct hf_sanlock_code *code = hf_sanlock_code(HF_SANLOCK_ACQUIRE, rv);

        return code->code == HF_LOCK_E_BUSY;
}

/* Of what is held: sanlock takes version 0 for none that would be demanded. */
static bool is_first_use(const struct hf_sanlock_resource *resource)
{
        struct hf_sanlock_resource found = *resource;

        return sanlock_read_resource(&found.res, 0) >= 0 && found.res.lver == 1;
}

/*
 * version is what the lease had when its file was seen to be old (0: none). With another one it has
 * been used since, perhaps by a VM that is paused now and will demand that version.
 */
static void sweep_lease(const struct sweeping *sweeping, const struct hf_sanlock_lease *lease,
                        uint64_t version)
{
        struct hf_sanlock_resource resource;
        int rv;

        hf_sanlock_lease_resource(lease, &resource);
        resource.res.flags = SANLK_RES_LVER;
        resource.res.lver = version;
        rv = acquire(sweeping, &resource);
        resource.res.flags = 0;
        resource.res.lver = 0;
        if (rv >= 0 && version == 0 && !is_first_use(&resource)) {
                struct sanlk_resource *arg = &resource.res;

                (void)sanlock_release(sweeping->socket, -1, 0, 1, &arg);
                rv = SANLK_ACQUIRE_LVER;
        }
        if (rv >= 0) {
                rv = give_up(sweeping, &resource);
                if (rv >= 0) {
                        remove_file(sweeping, lease->path, HF_SWEEP_REMOVED);
                        return;
                }
        } else if (rv == SANLK_LEADER_RESOURCE && is_given_up(&resource)) {
                remove_file(sweeping, lease->path, HF_SWEEP_FINISHED);
                return;
        } else if (rv == SANLK_ACQUIRE_LVER) {
                tell(sweeping, HF_SWEEP_YOUNG, lease->path, "%s", "");
                return;
        } else if (is_refusal(rv)) {
                tell(sweeping, HF_SWEEP_IN_USE, lease->path, "%s", "");
                return;
        }
        tell(sweeping, HF_SWEEP_FAILED, lease->path, "%s: %s (sanlock: %d)", lease->path,
             hf_sanlock_code(HF_SANLOCK_ACQUIRE, rv)->text, rv);
}

static void ignore(void *ctx, const struct hf_lock_holder *holder)
{
        (void)ctx;
        (void)holder;
}

/* To take a lease would be to use it. */
static void look_at_lease(struct sweeping *sweeping, const struct hf_sanlock_lease *lease)
{
        struct hf_sanlock_resource resource;
        int n = hf_sanlock_holders_of(&sweeping->holders, lease, ignore, NULL);

        hf_sanlock_lease_resource(lease, &resource);
        if (n == SANLK_LEADER_RESOURCE && is_given_up(&resource))
                n = 0;
        if (n < 0)
                tell(sweeping, HF_SWEEP_FAILED, lease->path, "%s: %s (sanlock: %d)", lease->path,
                     hf_sanlock_code(HF_SANLOCK_READ, n)->text, n);
        else
                tell(sweeping, n ? HF_SWEEP_IN_USE : HF_SWEEP_WOULD_REMOVE, lease->path, "%s", "");
}

/* It was used lately; but what an earlier sweep gave up keeps a VM from starting until it goes. */
static void spare_lease(const struct sweeping *sweeping, const struct hf_sanlock_lease *lease)
{
        struct hf_sanlock_resource resource;

        hf_sanlock_lease_resource(lease, &resource);
        if (!is_given_up(&resource))
                tell(sweeping, HF_SWEEP_YOUNG, lease->path, "%s", "");
        else if (sweeping->sweep->dry)
                tell(sweeping, HF_SWEEP_WOULD_REMOVE, lease->path, "%s", "");
        else
                remove_file(sweeping, lease->path, HF_SWEEP_FINISHED);
}

/* ---- the directory ----------------------------------------------------------------------- */

static bool is_key(const char *name)
{
        return strlen(name) == KEY_LEN && strspn(name, "0123456789abcdef") == KEY_LEN;
}

static bool is_under_way(const char *name)
{
        return !strncmp(name, UNDER_WAY, strlen(UNDER_WAY)) &&
               strlen(name) == strlen(UNDER_WAY) + UNDER_WAY_X;
}

/* Each taking and giving back is a write, which shows in the file's time. */
static bool is_older(const struct sweeping *sweeping, const struct stat *st, uint64_t seconds)
{
        return st->st_mtime <= sweeping->now && (uint64_t)(sweeping->now - st->st_mtime) >= seconds;
}

/* One that was not used for long, by what it was when that was seen. */
static void sweep_old(const struct sweeping *sweeping, const struct hf_sanlock_lease *lease)
{
        struct hf_sanlock_resource found;
        struct stat st;

        hf_sanlock_lease_resource(lease, &found);
        if (sanlock_read_resource(&found.res, 0) < 0)
                found.res.lver = 0;
        /* Once more: it may have been used since it was looked at, and before it was read. */
        if (lstat(lease->path, &st) == 0 && !is_older(sweeping, &st, sweeping->sweep->older_than_s))
                spare_lease(sweeping, lease);
        else
                sweep_lease(sweeping, lease, found.res.lver);
}

static void sweep_entry(struct sweeping *sweeping, const char *name)
{
        hf_cleanup(hf_sanlock_lease_clear) struct hf_sanlock_lease lease = {0};
        const struct hf_sweep *sweep = sweeping->sweep;
        hf_cleanup_free char *path = NULL;
        struct hf_error error = {0};
        struct stat st;

        if (!is_key(name) && !is_under_way(name))
                return;
        if (asprintf(&path, "%s/%s", sweep->settings->disk_lease_dir, name) < 0) {
                path = NULL;
                return;
        }
        if (lstat(path, &st) < 0 || !S_ISREG(st.st_mode))
                return;
        if (is_under_way(name)) {
                if (is_older(sweeping, &st, UNDER_WAY_S) && !sweep->dry)
                        remove_file(sweeping, path, HF_SWEEP_LEFTOVER);
                return;
        }
        if (hf_sanlock_lease_named(HF_SANLOCK_DISKS, name, path, 0, &lease, &error) < 0)
                tell(sweeping, HF_SWEEP_FAILED, path, "%s", error.text);
        else if (!is_older(sweeping, &st, sweep->older_than_s))
                spare_lease(sweeping, &lease);
        else if (sweep->dry)
                look_at_lease(sweeping, &lease);
        else
                sweep_old(sweeping, &lease);
}

static int sweep_directory(struct sweeping *sweeping, struct hf_lock_error *err)
{
        const char *path = sweeping->sweep->settings->disk_lease_dir;
        hf_cleanup_dir DIR *dir = opendir(path);
        const struct dirent *entry;

        if (!dir)
                return hf_driver_refuse(err, errno, HF_LOCK_E_SYSTEM, "cannot read %s: %s", path,
                                        strerror(errno));
        while ((entry = readdir(dir)))
                sweep_entry(sweeping, entry->d_name);
        return 0;
}

/* ---- one at a time ----------------------------------------------------------------------- */

static int refuse(struct sweeping *sweeping, const struct hf_sanlock_lease *lease, int rv,
                  struct hf_lock_error *err)
{
        struct hf_lock_holder holder = {.size = sizeof(holder)};

        if (is_refusal(rv) && hf_sanlock_holder_of(&sweeping->holders, lease, &holder))
                return hf_driver_refuse(
                        err, EBUSY, HF_LOCK_E_BUSY, "another cleanup runs in %s%s%s%s%s",
                        sweeping->sweep->settings->disk_lease_dir, *holder.host ? ", on host " : "",
                        holder.host, *holder.state ? ": " : "", holder.state);
        return hf_sanlock_fail(err, HF_SANLOCK_ACQUIRE, rv, "cannot begin to clean up in %s",
                               sweeping->sweep->settings->disk_lease_dir);
}

static int begin(struct sweeping *sweeping, struct hf_lock_error *err)
{
        hf_cleanup(hf_sanlock_lease_clear) struct hf_sanlock_lease lease = {0};
        const struct hf_sanlock_settings *settings = sweeping->sweep->settings;
        struct hf_sanlock_resource resource;
        hf_cleanup_free char *path = NULL;
        struct hf_error error = {0};
        int r, rv;

        if (asprintf(&path, "%s/" SWEEPER, settings->disk_lease_dir) < 0) {
                path = NULL;
                return hf_driver_no_memory(err);
        }
        r = hf_sanlock_lease_named(HF_SANLOCK_DISKS, SWEEPER, path, 0, &lease, &error);
        if (r < 0)
                return hf_driver_fail(err, r, &error);
        r = hf_sanlock_lease_make(settings, &lease, err);
        if (r < 0)
                return r;
        sweeping->socket = sanlock_register();
        if (sweeping->socket < 0)
                return hf_sanlock_fail(err, HF_SANLOCK_REGISTER, sweeping->socket,
                                       "cannot register with sanlock");
        (void)fcntl(sweeping->socket, F_SETFD, FD_CLOEXEC);
        hf_sanlock_lease_resource(&lease, &resource);
        rv = acquire(sweeping, &resource);
        return rv < 0 ? refuse(sweeping, &lease, rv, err) : 0;
}

static void end(struct sweeping *sweeping)
{
        hf_close_fd(&sweeping->socket);
        hf_sanlock_holders_clear(&sweeping->holders);
}

int hf_sweep(const struct hf_sweep *sweep, struct hf_lock_error *err)
{
        hf_cleanup(end) struct sweeping sweeping = {
                .sweep = sweep,
                .socket = -1,
                .now = time(NULL),
                .holders = {.paths = sweep->paths,
                            .deadline = hf_clock_nsec(CLOCK_MONOTONIC) + ASK_NS},
        };
        int r = sweep->dry ? 0 : begin(&sweeping, err);

        return r < 0 ? r : sweep_directory(&sweeping, err);
}
