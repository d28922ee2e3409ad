/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Files of leases. Each is made under a name of its own, gets its size, its owner and its format
 * there, and only then its real name, by which nobody else's can be replaced: link(2), as
 * rename(2) would. What a process leaves that was killed on the way is a file of that other name.
 */
#include "driver/sanlock/lockspace.h"

#include "base/cleanup.h"
#include "driver/error.h"

#include <fcntl.h>
#include <sanlock_admin.h>
#include <string.h>
#include <sys/stat.h>

/* Of files under way; the dot keeps them from being taken for leases. */
#define UNDER_WAY ".holdfast-XXXXXX"

/* Largest area that sanlock asks for: 2000 hosts with sectors of 4 KiB. */
#define AREA_MAX (8 * 1024 * 1024)

/* One file under way. */
struct making {
        const struct hf_sanlock_settings *settings;
        mode_t mode;
        char path[SANLK_PATH_LEN]; /* the other name; "" none yet */
        int fd;
};

static void making_done(struct making *making)
{
        hf_close_fd(&making->fd);
        if (making->path[0])
                (void)unlink(making->path);
}

static int fail(struct hf_lock_error *err, const char *what, const char *path)
{
        int saved = errno;

        return hf_driver_refuse(err, saved, HF_LOCK_E_SYSTEM, "cannot %s %s: %s", what, path,
                                strerrordesc_np(saved));
}

static int open_new(struct making *making, const char *path, struct hf_lock_error *err)
{
        const char *slash = strrchr(path, '/');
        char name[SANLK_PATH_LEN];

        if ((size_t)snprintf(name, sizeof(name), "%.*s/" UNDER_WAY, (int)(slash - path), path) >=
            sizeof(name)) {
                errno = ENAMETOOLONG;
                return fail(err, "make the lease file", path);
        }
        making->fd = mkostemp(name, O_CLOEXEC);
        if (making->fd < 0)
                return fail(err, "make the lease file", path);
        memcpy(making->path, name, sizeof(making->path));
        return 0;
}

static int set_owner(const struct making *making, struct hf_lock_error *err)
{
        const struct hf_sanlock_settings *settings = making->settings;

        if ((settings->user != (uid_t)-1 || settings->group != (gid_t)-1) &&
            fchown(making->fd, settings->user, settings->group) < 0)
                return fail(err, "give the settings' user and group to", making->path);
        if (fchmod(making->fd, making->mode) < 0)
                return fail(err, "set the mode of", making->path);
        return 0;
}

/* On disk, so that nothing of ours is still to be written when the daemon writes there. */
static int set_size(const struct making *making, struct hf_lock_error *err)
{
        hf_cleanup_free char *zeros = NULL;
        struct sanlk_disk disk = {0};
        int size;

        (void)snprintf(disk.path, sizeof(disk.path), "%s", making->path);
        size = sanlock_align(&disk);
        if (size <= 0 || size > AREA_MAX)
                return hf_sanlock_fail(err, HF_SANLOCK_FORMAT, size < 0 ? size : -EINVAL,
                                       "cannot make the lease file %s", making->path);
        zeros = calloc(1, (size_t)size);
        if (!zeros)
                return hf_driver_no_memory(err);
        for (size_t done = 0; done < (size_t)size;) {
                ssize_t n = write(making->fd, zeros + done, (size_t)size - done);

                if (n < 0 && errno != EINTR)
                        return fail(err, "write", making->path);
                done += n > 0 ? (size_t)n : 0;
        }
        return fsync(making->fd) < 0 ? fail(err, "write", making->path) : 0;
}

static int begin(struct making *making, const char *path, struct hf_lock_error *err)
{
        int r = open_new(making, path, err);

        if (r >= 0)
                r = set_owner(making, err);
        return r < 0 ? r : set_size(making, err);
}

/* Filesystems without hard links have another way to replace nothing. */
static int name_it(struct making *making, const char *path, struct hf_lock_error *err)
{
        if (link(making->path, path) == 0)
                return 0;
        if (errno == EPERM || errno == EOPNOTSUPP || errno == ENOSYS) {
                if (renameat2(AT_FDCWD, making->path, AT_FDCWD, path, RENAME_NOREPLACE) == 0) {
                        making->path[0] = '\0';
                        return 0;
                }
        }
        return fail(err, "make the lease file", path);
}

int hf_sanlock_lockspace_make(const struct hf_sanlock_settings *settings,
                              const struct hf_sanlock_lockspace *lockspace,
                              struct hf_lock_error *err)
{
        hf_cleanup(making_done) struct making making = {
                .settings = settings,
                .mode = settings->group == (gid_t)-1 ? 0600 : 0660,
                .fd = -1,
        };
        struct sanlk_lockspace ls = {0};
        int r, rv;

        if (access(lockspace->path, F_OK) == 0)
                return hf_driver_refuse(err, EEXIST, HF_LOCK_E_SYSTEM, "%s is there already",
                                        lockspace->path);
        r = begin(&making, lockspace->path, err);
        if (r < 0)
                return r;
        memcpy(ls.name, lockspace->name, SANLK_NAME_LEN);
        memcpy(ls.host_id_disk.path, making.path, SANLK_PATH_LEN);
        rv = sanlock_write_lockspace(&ls, 0, 0, lockspace->io_timeout);
        if (rv < 0)
                return hf_sanlock_fail(err, HF_SANLOCK_FORMAT, rv,
                                       "cannot format the lockspace %s for %s", making.path,
                                       lockspace->name);
        return name_it(&making, lockspace->path, err);
}

int hf_sanlock_lease_make(const struct hf_sanlock_settings *settings,
                          const struct hf_sanlock_lease *lease, struct hf_lock_error *err)
{
        hf_cleanup(making_done) struct making making = {
                .settings = settings,
                .mode = 0600,
                .fd = -1,
        };
        struct hf_sanlock_resource res;
        int r, rv;

        if (access(lease->path, F_OK) == 0)
                return 0;
        r = begin(&making, lease->path, err);
        if (r < 0)
                return r;
        hf_sanlock_lease_resource(lease, &res);
        res.res.flags = 0;
        memcpy(res.disk.path, making.path, SANLK_PATH_LEN);
        rv = sanlock_write_resource(&res.res, 0, 0, 0);
        if (rv < 0)
                return hf_sanlock_fail(err, HF_SANLOCK_FORMAT, rv,
                                       "cannot format the lease file %s for disk %s", making.path,
                                       lease->label);
        r = name_it(&making, lease->path, err);
        return r == -EEXIST ? 0 : r;
}
