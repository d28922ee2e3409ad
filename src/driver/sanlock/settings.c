/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "driver/sanlock/settings.h"

#include "base/cleanup.h"
#include "driver/sanlock/lease.h"

#include <grp.h>
#include <pwd.h>
#include <string.h>

/* sanlock numbers hosts from 1 to this, in every lockspace with sectors of 512 bytes. */
#define HOST_ID_MAX 2000

/* A day's renewal would be no renewal; sanlock multiplies it by up to 20. */
#define IO_TIMEOUT_MAX 3600

/* Large enough for any entry that glibc makes from a line of passwd or group. */
#define ENTRY_BUFFER_SIZE 65536

/* What one file says. */
struct said {
        int auto_disk_leases, require_lease_for_disks, host_id, io_timeout; /* -1: nothing */
        char *dir, *user, *group;
};

#define NUMBER(field, most, text)                                                                  \
        {                                                                                          \
#field, HF_CONF_KIND_INT, offsetof(struct said, field), .min = 0, .max = (most),   \
                                                                        .def = -1, .help = (text)  \
        }

#define KEYS                                                                                       \
        NUMBER(auto_disk_leases, 1, "whether each disk has a lease, made where there is none"),    \
                NUMBER(require_lease_for_disks, 1,                                                 \
                       "whether a VM with a disk and no lease is refused"),                        \
                NUMBER(host_id, HOST_ID_MAX, "number of this host among those of the lockspace"),  \
                NUMBER(io_timeout, IO_TIMEOUT_MAX, "seconds that a read or write may take"),       \
                {"disk_lease_dir", HF_CONF_KIND_PATH, offsetof(struct said, dir),                  \
                 .help = "directory of disks' leases, shared by all hosts"},                       \
                {"user", HF_CONF_KIND_STRING, offsetof(struct said, user),                         \
                 .help = "owner of lease files"},                                                  \
        {                                                                                          \
                "group", HF_CONF_KIND_STRING, offsetof(struct said, group),                        \
                        .help = "group of lease files"                                             \
        }

static const struct hf_conf_key plugin_keys[] = {KEYS};

static const struct hf_conf_key holdfast_keys[] = {
        KEYS,
        {"lock_manager", HF_CONF_KIND_OTHERS},
        {"keep_descriptors", HF_CONF_KIND_OTHERS},
        {"on_lost", HF_CONF_KIND_OTHERS},
        {"monitor", HF_CONF_KIND_OTHERS},
        {"libvirt_metadata_lock", HF_CONF_KIND_OTHERS},
        {"file_lockspace_dir", HF_CONF_KIND_OTHERS},
        {"lvm_lockspace_dir", HF_CONF_KIND_OTHERS},
        {"scsi_lockspace_dir", HF_CONF_KIND_OTHERS},
};

static void clear_said(struct said *said)
{
        hf_conf_clear(plugin_keys, HF_ARRAY_LEN(plugin_keys), said);
}

#define cleanup_said hf_cleanup(clear_said)

/* "+7", and "7" where nobody has that name, are numbers, as in libvirt's files. */
static bool as_number(const char *text, unsigned int *ret)
{
        unsigned long number;
        char *end;

        text += *text == '+';
        errno = 0;
        number = strtoul(text, &end, 10);
        if (*text < '0' || *text > '9' || *end || errno || number >= UINT32_MAX)
                return false;
        *ret = (unsigned int)number;
        return true;
}

/* Returns a positive errno, or 0 and whether there is one of that name. */
static int look_up_user(const char *name, char *buffer, unsigned int *ret, bool *ret_found)
{
        struct passwd entry, *found = NULL;
        int r = getpwnam_r(name, &entry, buffer, ENTRY_BUFFER_SIZE, &found);

        *ret_found = found != NULL;
        if (found)
                *ret = found->pw_uid;
        return r;
}

static int look_up_group(const char *name, char *buffer, unsigned int *ret, bool *ret_found)
{
        struct group entry, *found = NULL;
        int r = getgrnam_r(name, &entry, buffer, ENTRY_BUFFER_SIZE, &found);

        *ret_found = found != NULL;
        if (found)
                *ret = found->gr_gid;
        return r;
}

typedef int (*look_up_fn)(const char *name, char *buffer, unsigned int *ret, bool *ret_found);

static int find_id(const struct hf_conf *conf, const char *key, const char *name,
                   look_up_fn look_up, unsigned int *ret, struct hf_error *err)
{
        hf_cleanup_free char *buffer = NULL;
        bool found = false;
        int r = 0;

        *ret = UINT32_MAX;
        if (!name)
                return 0;
        buffer = malloc(ENTRY_BUFFER_SIZE);
        if (!buffer)
                return hf_error_sys(err, ENOMEM, "out of memory");
        if (name[0] != '+')
                r = look_up(name, buffer, ret, &found);
        if (found || as_number(name, ret))
                return 0;
        r = hf_error_set(err, EINVAL, HF_ERR_INVALID_ARG, HF_FROM_NONE,
                         "there is no %s \"%s\" on this host%s%s", key, name, r ? ": " : "",
                         r ? strerrordesc_np(r) : "");
        hf_conf_blame(conf, key, err);
        return r;
}

/* What a file says, checked, with its user and group as numbers. */
struct file {
        struct said said;
        unsigned int user, group;
};

static void clear_file(struct file *file)
{
        clear_said(&file->said);
}

static int read_file(const struct hf_conf *conf, const struct hf_conf_key *keys, size_t n,
                     hf_conf_notice_fn notice, void *ctx, struct file *ret, struct hf_error *err)
{
        int r = hf_conf_apply(conf, keys, n, &ret->said, notice, ctx, err);

        if (r >= 0)
                r = find_id(conf, "user", ret->said.user, look_up_user, &ret->user, err);
        if (r >= 0)
                r = find_id(conf, "group", ret->said.group, look_up_group, &ret->group, err);
        if (r < 0 || !ret->said.dir)
                return r;
        r = hf_sanlock_check_path("directory of leases", ret->said.dir, err);
        if (r < 0)
                hf_conf_blame(conf, "disk_lease_dir", err);
        return r;
}

static int read_plugins_file(const struct hf_paths *paths, hf_conf_notice_fn notice, void *ctx,
                             struct file *ret, struct hf_error *err)
{
        hf_cleanup_conf struct hf_conf *conf = NULL;
        int r = hf_conf_load(paths->sanlock_config, false, &conf, err);

        return r < 0 ? r
                     : read_file(conf, plugin_keys, HF_ARRAY_LEN(plugin_keys), notice, ctx, ret,
                                 err);
}

static int read_ours(const char *path, bool required, hf_conf_notice_fn notice, void *ctx,
                     struct file *ret, struct hf_error *err)
{
        hf_cleanup_conf struct hf_conf *conf = NULL;
        int r = hf_conf_load(path, required, &conf, err);

        if (r >= 0)
                r = hf_conf_refuse_repeats(conf, err);
        return r < 0 ? r
                     : read_file(conf, holdfast_keys, HF_ARRAY_LEN(holdfast_keys), notice, ctx, ret,
                                 err);
}

static int either(int ours, int plugins, int def)
{
        return ours >= 0 ? ours : plugins >= 0 ? plugins : def;
}

/* Without a slash at its end: the paths of leases are compared as texts by others. */
static char *directory(struct said *ours, struct said *plugins)
{
        char *dir = ours->dir      ? hf_steal_ptr(ours->dir)
                    : plugins->dir ? hf_steal_ptr(plugins->dir)
                                   : strdup(HF_LOCALSTATEDIR "/lib/libvirt/sanlock");
        size_t len = dir ? strlen(dir) : 0;

        while (len > 1 && dir[len - 1] == '/')
                dir[--len] = '\0';
        return dir;
}

int hf_sanlock_settings_load(const struct hf_paths *paths, const char *config,
                             hf_conf_notice_fn notice, void *ctx, struct hf_sanlock_settings *ret,
                             struct hf_error *err)
{
        hf_cleanup(clear_file) struct file ours = {0}, plugins = {0};
        struct said *first = &ours.said, *second = &plugins.said;
        bool automatic;
        char *dir;
        int r;

        r = read_ours(config ? config : paths->client_config, config != NULL, notice, ctx, &ours,
                      err);
        if (r >= 0)
                r = read_plugins_file(paths, notice, ctx, &plugins, err);
        if (r < 0)
                return r;
        dir = directory(first, second);
        if (!dir)
                return hf_error_sys(err, ENOMEM, "out of memory");
        automatic = either(first->auto_disk_leases, second->auto_disk_leases, false);
        *ret = (struct hf_sanlock_settings){
                .auto_disk_leases = automatic,
                .require_lease_for_disks = either(first->require_lease_for_disks,
                                                  second->require_lease_for_disks, !automatic),
                .disk_lease_dir = dir,
                .host_id = (unsigned int)either(first->host_id, second->host_id, 0),
                .io_timeout = (unsigned int)either(first->io_timeout, second->io_timeout, 0),
                .user = ours.user != UINT32_MAX ? ours.user : plugins.user,
                .group = ours.group != UINT32_MAX ? ours.group : plugins.group,
        };
        return 0;
}

void hf_sanlock_settings_clear(struct hf_sanlock_settings *settings)
{
        free(settings->disk_lease_dir);
        *settings = (struct hf_sanlock_settings){0};
}
