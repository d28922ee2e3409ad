/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/lookaside.h"

#include "cli/reach.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/path.h"
#include "storage/lockspaces.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

/* For who looks, that is long; the programs that may be asked need some tenths of a second. */
#define NAMING_NS (10 * 1000000000ULL)

/* Whether a part of the path says nothing, or leads up. */
static bool has_detours(const char *path)
{
        for (const char *at = path;; at++) {
                size_t len = strcspn(at, "/");

                if (len == 0 || (len <= 2 && strspn(at, ".") == len))
                        return true;
                at += len;
                if (!*at)
                        return false;
        }
}

/* Without detours on the way to the file, or NULL. */
static char *straighten(const char *path)
{
        const char *slash = strrchr(path, '/');
        hf_cleanup_free char *above = strndup(path, (size_t)(slash - path) + 1), *real = NULL;
        char *whole;

        real = above ? realpath(above, NULL) : NULL;
        if (!real || asprintf(&whole, "%s%s", strcmp(real, "/") ? real : "", slash) < 0)
                return NULL;
        return whole;
}

char *hf_lookaside_absolute(const char *path)
{
        hf_cleanup_free char *here = NULL, *joined = NULL;
        char *straight;

        if (path[0] == '/')
                return strdup(path);
        while (path[0] == '.' && path[1] == '/')
                path += 2 + strspn(path + 2, "/");
        here = getcwd(NULL, 0);
        if (!here || asprintf(&joined, "%s/%s", strcmp(here, "/") ? here : "", path) < 0) {
                joined = NULL;
                return NULL;
        }
        straight = has_detours(path) ? straighten(joined) : NULL;
        return straight ? straight : hf_steal_ptr(joined);
}

static uint64_t deadline(void)
{
        return hf_clock_nsec(CLOCK_MONOTONIC) + NAMING_NS;
}

static int find(const struct hf_lockspaces *settings, const char *path, struct hf_lookaside *ret,
                struct hf_error *err)
{
        struct hf_name_udev *udev = settings->scsi_lockspace_dir ? hf_name_udev_new() : NULL;
        struct hf_name_dirs dirs = {
                .file = settings->file_lockspace_dir,
                .lvm = settings->lvm_lockspace_dir,
                .scsi = settings->scsi_lockspace_dir,
                .udev = udev,
        };
        hf_cleanup_free char *name_text = NULL;
        struct hf_name name;
        int r = hf_name_of_disk(&dirs, path, deadline(), &name, err);

        hf_name_udev_free(udev);
        if (r < 0)
                return r;
        name_text = name.text;
        if (!*name.lockspace)
                return 0;
        ret->dir = strdup(name.lockspace);
        if (!ret->dir || asprintf(&ret->file, "%s/%s", name.lockspace, name_text) < 0) {
                ret->file = NULL;
                hf_lookaside_clear(ret);
                return hf_error_sys(err, ENOMEM, "cannot tell where %s is locked", path);
        }
        return 0;
}

/* Reads them once: a verb asks for several disks, and for one more than once. */
static int get_settings(const struct hf_lockspaces **ret, struct hf_error *err)
{
        static struct hf_lockspaces settings;
        static bool known;
        hf_cleanup_paths struct hf_paths paths = {0};
        int r = known ? 0 : hf_paths_init(&paths, err);

        if (r >= 0 && !known)
                r = hf_lockspaces_load(&paths, NULL, NULL, NULL, &settings, err);
        if (r < 0)
                return r;
        known = true;
        *ret = &settings;
        return 0;
}

int hf_lookaside_of(const char *path, struct hf_lookaside *ret, struct hf_error *err)
{
        const struct hf_lockspaces *settings;
        hf_cleanup_free char *absolute = NULL;
        int r = get_settings(&settings, err);

        *ret = (struct hf_lookaside){0};
        if (r < 0 || !settings->auto_disk_leases)
                return r < 0 ? r : 0;
        absolute = hf_lookaside_absolute(path);
        if (!absolute)
                return hf_error_sys(err, errno, "cannot tell where %s is locked", path);
        return find(settings, absolute, ret, err);
}

void hf_lookaside_reach(const struct hf_lookaside *lookaside, const char *path,
                        const struct hf_thing *thing, struct hf_guarantee_of *ret)
{
        hf_cleanup_free char *dir = lookaside->dir ? strdup(lookaside->dir) : NULL;
        struct hf_thing place = {0};
        struct stat st;

        if (!dir) {
                hf_reach_of(path, thing, ret);
                return;
        }
        /* The daemon makes what is missing. */
        while (stat(dir, &st) < 0 && errno == ENOENT && dir[1]) {
                char *slash = strrchr(dir, '/');

                slash[slash == dir] = '\0';
        }
        if (stat(dir, &st) == 0)
                place = (struct hf_thing){HF_THING_FILE, st.st_dev, st.st_ino};
        hf_reach_of(dir, &place, ret);
}

bool hf_lookaside_is_word(const char *path, const struct hf_record *record)
{
        hf_cleanup_free char *real = realpath(path, NULL);
        char *slash = real ? strrchr(real, '/') : NULL;
        struct stat st;

        if (!*record->lockspace || !slash)
                return false;
        slash[slash == real] = '\0';
        return stat(real, &st) == 0 && st.st_ino != record->directory;
}

void hf_lookaside_clear(struct hf_lookaside *lookaside)
{
        free(lookaside->dir);
        free(lookaside->file);
        *lookaside = (struct hf_lookaside){0};
}
