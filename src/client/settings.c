/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "client/settings.h"

#include "base/cleanup.h"
#include "base/conf.h"
#include "base/path.h"

/* In the order of enum holdfast_on_lost, behind its first. */
static const char *const actions[] = {"warn", "pause", "kill", NULL};

_Static_assert((int)HOLDFAST_ON_LOST_WARN == 1 && (int)HOLDFAST_ON_LOST_PAUSE == 2 &&
                       (int)HOLDFAST_ON_LOST_KILL == 3,
               "the words are in the order of the numbers");

static const struct hf_conf_key keys[] = {
        {"lock_manager", HF_CONF_KIND_STRING, offsetof(struct hf_client_settings, lock_manager),
         .help = "the lock driver"},
        {"keep_descriptors", HF_CONF_KIND_BOOL,
         offsetof(struct hf_client_settings, keep_descriptors), .def = 1,
         .help = "whether a VM carries duplicates of its locks' descriptors"},
        {"on_lost", HF_CONF_KIND_CHOICE, offsetof(struct hf_client_settings, on_lost), .def = -1,
         .choices = actions, .help = "what becomes of a VM that lost a lock"},
        {"monitor", HF_CONF_KIND_BOOL, offsetof(struct hf_client_settings, monitor), .def = 1,
         .help = "whether a VMM is given a QMP socket for that"},
        {"libvirt_metadata_lock", HF_CONF_KIND_OTHERS},
        {"auto_disk_leases", HF_CONF_KIND_OTHERS},
        {"require_lease_for_disks", HF_CONF_KIND_OTHERS},
        {"file_lockspace_dir", HF_CONF_KIND_OTHERS},
        {"lvm_lockspace_dir", HF_CONF_KIND_OTHERS},
        {"scsi_lockspace_dir", HF_CONF_KIND_OTHERS},
        {"disk_lease_dir", HF_CONF_KIND_OTHERS},
        {"host_id", HF_CONF_KIND_OTHERS},
        {"io_timeout", HF_CONF_KIND_OTHERS},
        {"user", HF_CONF_KIND_OTHERS},
        {"group", HF_CONF_KIND_OTHERS},
};

static int read_file(const char *path, hf_conf_notice_fn notice, void *ctx,
                     struct hf_client_settings *ret, struct hf_error *err)
{
        hf_cleanup_paths struct hf_paths paths = {0};
        hf_cleanup_conf struct hf_conf *conf = NULL;
        int r;

        if (!path) {
                r = hf_paths_init(&paths, err);
                if (r < 0)
                        return r;
        }
        r = hf_conf_load(path ? path : paths.client_config, path != NULL, &conf, err);
        if (r >= 0)
                r = hf_conf_refuse_repeats(conf, err);
        return r < 0 ? r : hf_conf_apply(conf, keys, HF_ARRAY_LEN(keys), ret, notice, ctx, err);
}

int hf_client_settings_read(const char *path, void (*notice)(void *ctx, const char *text),
                            void *ctx, struct hf_client_settings *ret, struct holdfast_error *err)
{
        struct hf_error error = {0};
        int r = read_file(path, notice, ctx, ret, &error);

        if (r >= 0)
                return 0;
        (void)hf_fail_from(err, r, &error);
        if (err)
                err->code = HOLDFAST_E_CONFIG;
        return r;
}

void hf_client_settings_clear(struct hf_client_settings *settings)
{
        hf_conf_clear(keys, HF_ARRAY_LEN(keys), settings);
}
