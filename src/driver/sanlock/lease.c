/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "driver/sanlock/lease.h"

#include "base/cleanup.h"

#include <ctype.h>
#include <md5.h>
#include <string.h>

/* Printable, and nothing by which sanlock's own texts separate what they say. */
static bool is_plain(const char *text)
{
        for (; *text; text++)
                if (isspace((unsigned char)*text) || iscntrl((unsigned char)*text))
                        return false;
        return true;
}

/* As sanlock writes it, which is what has to fit: with a backslash before each of its own signs. */
static size_t escaped_length(const char *path)
{
        size_t len = 0;

        for (; *path; path++)
                len += *path == ':' || *path == '\\' ? 2 : 1;
        return len;
}

int hf_sanlock_check_path(const char *what, const char *path, struct hf_error *err)
{
        if (!path || path[0] != '/')
                return hf_error_set(err, EINVAL, HF_ERR_INVALID_ARG, HF_FROM_LOCKING,
                                    "%s: needs an absolute path, not \"%s\"", what,
                                    path ? path : "");
        if (!is_plain(path))
                return hf_error_set(err, EINVAL, HF_ERR_INVALID_ARG, HF_FROM_LOCKING,
                                    "%s: the path \"%s\" has a blank or a control character: "
                                    "sanlock could take a lease there, and not report it",
                                    what, path);
        if (escaped_length(path) >= SANLK_PATH_LEN)
                return hf_error_set(err, ENAMETOOLONG, HF_ERR_INVALID_ARG, HF_FROM_LOCKING,
                                    "%s: the path has %zu bytes, sanlock has room for %d", what,
                                    strlen(path), SANLK_PATH_LEN - 1);
        return 0;
}

static int check_name(const char *what, const char *name, const char *owner, struct hf_error *err)
{
        if (!name || !name[0])
                return hf_error_set(err, EINVAL, HF_ERR_INVALID_ARG, HF_FROM_LOCKING,
                                    "lease \"%s\": sanlock needs a %s", owner, what);
        if (strlen(name) > SANLK_NAME_LEN)
                return hf_error_set(err, EINVAL, HF_ERR_INVALID_ARG, HF_FROM_LOCKING,
                                    "lease \"%s\": the %s has %zu bytes, sanlock has room for %d",
                                    owner, what, strlen(name), SANLK_NAME_LEN);
        if (!is_plain(name) || strchr(name, ':'))
                return hf_error_set(err, EINVAL, HF_ERR_INVALID_ARG, HF_FROM_LOCKING,
                                    "lease \"%s\": the %s \"%s\" has a colon, a blank or a control "
                                    "character, which sanlock could not report",
                                    owner, what, name);
        return 0;
}

/* Both are freed by hf_sanlock_lease_clear, also when it fails. */
static int fill(struct hf_sanlock_lease *lease, const char *label, char *path, struct hf_error *err)
{
        lease->label = strdup(label);
        lease->path = path;
        if (lease->label && lease->path)
                return 0;
        hf_sanlock_lease_clear(lease);
        return hf_error_sys(err, ENOMEM, "out of memory");
}

int hf_sanlock_lease_of_disk(const char *dir, const char *path, struct hf_sanlock_lease *ret,
                             struct hf_error *err)
{
        struct hf_sanlock_lease lease = {.made = true};
        char *file = NULL;
        int r;

        _Static_assert(MD5_DIGEST_STRING_LENGTH <= sizeof(lease.key), "a hash is a key");
        if (path[0] != '/')
                return hf_error_set(err, EINVAL, HF_ERR_INVALID_ARG, HF_FROM_LOCKING,
                                    "disk %s: the path must be absolute", path);
        (void)MD5Data((const uint8_t *)path, strlen(path), lease.key);
        (void)snprintf(lease.lockspace, sizeof(lease.lockspace), "%s", HF_SANLOCK_DISKS);
        if (asprintf(&file, "%s/%s", dir, lease.key) < 0)
                file = NULL;
        r = fill(&lease, path, file, err);
        if (r >= 0)
                r = hf_sanlock_check_path("lease file", lease.path, err);
        if (r < 0) {
                hf_sanlock_lease_clear(&lease);
                return r;
        }
        *ret = lease;
        return 0;
}

int hf_sanlock_lease_named(const char *lockspace, const char *key, const char *path,
                           uint64_t offset, struct hf_sanlock_lease *ret, struct hf_error *err)
{
        struct hf_sanlock_lease lease = {.offset = offset};
        char what[SANLK_NAME_LEN + 16];
        int r = check_name("key", key, key, err);

        if (r >= 0)
                r = check_name("lockspace", lockspace, key, err);
        if (r < 0)
                return r;
        (void)snprintf(what, sizeof(what), "lease %s", key);
        r = hf_sanlock_check_path(what, path, err);
        if (r < 0)
                return r;
        (void)snprintf(lease.key, sizeof(lease.key), "%s", key);
        (void)snprintf(lease.lockspace, sizeof(lease.lockspace), "%s", lockspace);
        r = fill(&lease, key, strdup(path), err);
        if (r < 0)
                return r;
        *ret = lease;
        return 0;
}

void hf_sanlock_lease_clear(struct hf_sanlock_lease *lease)
{
        free(lease->label);
        free(lease->path);
        lease->label = NULL;
        lease->path = NULL;
}

void hf_sanlock_lease_resource(const struct hf_sanlock_lease *lease,
                               struct hf_sanlock_resource *ret)
{
        _Static_assert(offsetof(struct hf_sanlock_resource, disk) == sizeof(struct sanlk_resource),
                       "the disk lies directly behind its resource");
        *ret = (struct hf_sanlock_resource){
                .res = {.flags = lease->shared ? SANLK_RES_SHARED : 0, .num_disks = 1},
                .disk = {.offset = lease->offset},
        };
        /* Names fill their fields without an end where they are as long. */
        memcpy(ret->res.lockspace_name, lease->lockspace, SANLK_NAME_LEN);
        memcpy(ret->res.name, lease->key, SANLK_NAME_LEN);
        (void)snprintf(ret->disk.path, sizeof(ret->disk.path), "%s", lease->path);
}
