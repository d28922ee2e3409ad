/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "storage/lockspaces.h"

/* What one file says. */
struct said {
        int auto_disk_leases, require_lease_for_disks; /* -1: nothing */
        char *file, *lvm, *scsi;
};

/* As a switch, which is an integer from 0 to 1, but it shows whether it was set. */
#define SWITCH(field, text)                                                                        \
        {                                                                                          \
#field, HF_CONF_KIND_INT, offsetof(struct said, field), .min = 0, .max = 1,        \
                                                                        .def = -1, .help = (text)  \
        }

#define KEYS                                                                                       \
        SWITCH(auto_disk_leases, "whether disks are locked by themselves"),                        \
                SWITCH(require_lease_for_disks,                                                    \
                       "whether a VM with an unlocked disk needs a lease"),                        \
                {"file_lockspace_dir", HF_CONF_KIND_PATH, offsetof(struct said, file),             \
                 .help = "directory of locks named after the disk's path"},                        \
                {"lvm_lockspace_dir", HF_CONF_KIND_PATH, offsetof(struct said, lvm),               \
                 .help = "directory of locks named after a logical volume's id"},                  \
        {                                                                                          \
                "scsi_lockspace_dir", HF_CONF_KIND_PATH, offsetof(struct said, scsi),              \
                        .help = "directory of locks named after a SCSI disk's id"                  \
        }

static const struct hf_conf_key plugin_keys[] = {KEYS};

static const struct hf_conf_key holdfast_keys[] = {
        KEYS,
        {"lock_manager", HF_CONF_KIND_OTHERS},
        {"keep_descriptors", HF_CONF_KIND_OTHERS},
        {"on_lost", HF_CONF_KIND_OTHERS},
        {"monitor", HF_CONF_KIND_OTHERS},
        {"libvirt_metadata_lock", HF_CONF_KIND_OTHERS},
        {"disk_lease_dir", HF_CONF_KIND_OTHERS},
        {"host_id", HF_CONF_KIND_OTHERS},
        {"io_timeout", HF_CONF_KIND_OTHERS},
        {"user", HF_CONF_KIND_OTHERS},
        {"group", HF_CONF_KIND_OTHERS},
};

static void clear_said(struct said *said)
{
        hf_conf_clear(plugin_keys, HF_ARRAY_LEN(plugin_keys), said);
}

#define cleanup_said hf_cleanup(clear_said)

static int read_plugins_file(const struct hf_paths *paths, hf_conf_notice_fn notice, void *ctx,
                             struct said *ret, struct hf_error *err)
{
        hf_cleanup_conf struct hf_conf *conf = NULL;
        int r = hf_conf_load(paths->lockd_config, false, &conf, err);

        return r < 0 ? r
                     : hf_conf_apply(conf, plugin_keys, HF_ARRAY_LEN(plugin_keys), ret, notice, ctx,
                                     err);
}

static int read_ours(const char *path, bool required, hf_conf_notice_fn notice, void *ctx,
                     struct said *ret, struct hf_error *err)
{
        hf_cleanup_conf struct hf_conf *conf = NULL;
        int r = hf_conf_load(path, required, &conf, err);

        if (r >= 0)
                r = hf_conf_refuse_repeats(conf, err);
        return r < 0 ? r
                     : hf_conf_apply(conf, holdfast_keys, HF_ARRAY_LEN(holdfast_keys), ret, notice,
                                     ctx, err);
}

/* The first that is set. */
static char *either(char **ours, char **plugins)
{
        return *ours ? hf_steal_ptr(*ours) : hf_steal_ptr(*plugins);
}

static int either_switch(int ours, int plugins, bool def)
{
        return ours >= 0 ? ours : plugins >= 0 ? plugins : def;
}

int hf_lockspaces_load(const struct hf_paths *paths, const char *config, hf_conf_notice_fn notice,
                       void *ctx, struct hf_lockspaces *ret, struct hf_error *err)
{
        cleanup_said struct said ours = {0}, plugins = {0};
        bool automatic;
        int r;

        r = read_ours(config ? config : paths->client_config, config != NULL, notice, ctx, &ours,
                      err);
        if (r >= 0)
                r = read_plugins_file(paths, notice, ctx, &plugins, err);
        if (r < 0)
                return r;
        automatic = either_switch(ours.auto_disk_leases, plugins.auto_disk_leases, true);
        *ret = (struct hf_lockspaces){
                .auto_disk_leases = automatic,
                .require_lease_for_disks = either_switch(
                        ours.require_lease_for_disks, plugins.require_lease_for_disks, !automatic),
                .file_lockspace_dir = either(&ours.file, &plugins.file),
                .lvm_lockspace_dir = either(&ours.lvm, &plugins.lvm),
                .scsi_lockspace_dir = either(&ours.scsi, &plugins.scsi),
        };
        return 0;
}

void hf_lockspaces_clear(struct hf_lockspaces *settings)
{
        free(settings->file_lockspace_dir);
        free(settings->lvm_lockspace_dir);
        free(settings->scsi_lockspace_dir);
        *settings = (struct hf_lockspaces){0};
}
