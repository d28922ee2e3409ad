/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "label/scene.h"

#include "base/cleanup.h"
#include "base/conf.h"
#include "base/path.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

struct settings {
        bool libvirt_metadata_lock;
};

/* What of holdfast.conf is for us; the library warns of what nobody knows. */
static const struct hf_conf_key keys[] = {
        {"libvirt_metadata_lock", HF_CONF_KIND_BOOL,
         offsetof(struct settings, libvirt_metadata_lock),
         .help = "whether libvirt's own lock is taken too while an image is relabelled"},
};

static int read_settings(const struct hf_paths *paths, struct settings *ret, struct hf_error *err)
{
        hf_cleanup_conf struct hf_conf *conf = NULL;
        int r = hf_conf_load(paths->client_config, false, &conf, err);

        if (r >= 0)
                r = hf_conf_refuse_repeats(conf, err);
        return r < 0 ? r : hf_conf_apply(conf, keys, HF_ARRAY_LEN(keys), ret, NULL, NULL, err);
}

static bool is_set(const uint8_t id[static 16])
{
        static const uint8_t none[16];

        return memcmp(id, none, sizeof(none)) != 0;
}

int hf_label_scene_init(const struct hf_label_host *host, struct hf_label_scene *ret,
                        struct hf_error *err)
{
        hf_cleanup_paths struct hf_paths paths = {0};
        hf_cleanup_label_scene struct hf_label_scene scene = {.host = *host};
        struct settings settings;
        int r = hf_paths_init(&paths, err);

        if (r >= 0)
                r = read_settings(&paths, &settings, err);
        if (r < 0)
                return r;
        if (!is_set(host->machine) || !is_set(host->boot))
                return hf_error_set(err, ENOTSUP, HF_ERR_CONFIG_UNSUPPORTED, HF_FROM_NONE,
                                    "this machine has no id (/etc/machine-id): users of images "
                                    "could not be told from those of other hosts; see "
                                    "systemd-machine-id-setup(1)");
        scene.libvirt_lock = settings.libvirt_metadata_lock;
        scene.table_dir = hf_steal_ptr(paths.label_dir);
        if (asprintf(&scene.life_dir, "%s/lives", paths.run_dir) < 0) {
                scene.life_dir = NULL;
                return hf_error_sys(err, ENOMEM, "cannot build a path");
        }
        scene.store.dir = scene.table_dir;
        memcpy(scene.store.boot, host->boot, sizeof(scene.store.boot));
        *ret = scene;
        scene = (struct hf_label_scene){0};
        return 0;
}

void hf_label_scene_clear(struct hf_label_scene *scene)
{
        free(scene->table_dir);
        free(scene->life_dir);
        memset(scene, 0, sizeof(*scene));
}

/* By its name, or by the id of its machine. */
static bool is_host(const struct hf_label_user *user, const char *host)
{
        char id[2 * sizeof(user->machine) + 1];

        for (size_t i = 0; i < sizeof(user->machine); i++)
                (void)snprintf(id + 2 * i, 3, "%02x", user->machine[i]);
        return !strcmp(user->host, host) || !strcmp(id, host);
}

enum hf_label_life hf_label_life_of(const struct hf_label_scene *scene,
                                    const struct hf_label_user *user)
{
        enum hf_label_life life = hf_life_of(scene->life_dir, &scene->host, user);

        return life == HF_LABEL_ELSEWHERE && scene->gone_host && is_host(user, scene->gone_host)
                       ? HF_LABEL_DEAD
                       : life;
}

size_t hf_label_strike_dead(const struct hf_label_scene *scene, struct hf_label_record *record)
{
        size_t struck = 0;

        for (size_t i = record->n_users; i-- > 0;)
                if (hf_label_life_of(scene, &record->users[i]) == HF_LABEL_DEAD) {
                        hf_label_record_strike(record, i);
                        struck++;
                }
        return struck;
}

/* Before a record in another filesystem goes, what it was about has to be safe. */
static void make_safe(const struct hf_label_image *image, const struct hf_label_record *record)
{
        hf_cleanup_fd int fd = -1;
        char path[32];

        if (record->place != HF_LABEL_TABLE || !S_ISREG(image->file.mode))
                return;
        (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", image->fd);
        fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
        if (fd >= 0)
                (void)fsync(fd);
}

int hf_label_give_back(const struct hf_label_scene *scene, const struct hf_label_image *image,
                       const struct hf_label_kind *kind, const struct hf_label_record *record,
                       enum hf_label_end *ret, struct hf_error *err)
{
        char now[HF_LABEL_TEXT_MAX];
        enum hf_label_end end = HF_LABEL_OVERTAKEN;
        int r = kind->read(image->fd, now);

        if (r < 0)
                return hf_error_sys(err, -r, "cannot read the %s of %s", kind->noun, image->path);
        if (!strcmp(now, record->original)) {
                end = HF_LABEL_UNCHANGED;
        } else if (!strcmp(now, record->wanted)) {
                r = kind->write(image->fd, record->original);
                if (r < 0)
                        return hf_error_sys(err, -r, "cannot give %s its %s %s back", image->path,
                                            kind->noun, record->original);
                make_safe(image, record);
                end = HF_LABEL_RESTORED;
        }
        r = hf_label_forget(&scene->store, image, kind, err);
        if (r >= 0)
                *ret = end;
        return r;
}
