/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Settling what VMs have left. */

#include "label/label.h"

#include "base/cleanup.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

const char *hf_label_outcome_name(enum hf_label_outcome outcome)
{
        static const char *const names[] = {
                [HF_LABEL_GIVEN_BACK] = "restored", [HF_LABEL_FORGOTTEN] = "forgotten",
                [HF_LABEL_FOREIGN] = "foreign",     [HF_LABEL_IN_USE] = "in-use",
                [HF_LABEL_GONE] = "gone",           [HF_LABEL_MISSING] = "missing",
                [HF_LABEL_FAILED] = "failed",
        };

        return names[outcome];
}

static enum hf_label_outcome outcome_of(enum hf_label_end end)
{
        return end == HF_LABEL_RESTORED    ? HF_LABEL_GIVEN_BACK
               : end == HF_LABEL_UNCHANGED ? HF_LABEL_FORGOTTEN
                                           : HF_LABEL_FOREIGN;
}

/* ---- an image that is locked ---- */

/* Strikes the dead; the label goes back with the last. */
static int settle_record(const struct hf_label_scene *scene, const struct hf_label_image *image,
                         struct hf_label_record *record, struct hf_label_told *told,
                         struct hf_error *err)
{
        enum hf_label_end end;
        int r;

        told->struck = hf_label_strike_dead(scene, record);
        if (record->n_users) {
                told->outcome = HF_LABEL_IN_USE;
                return told->struck ? hf_label_save(&scene->store, image, record, err) : 0;
        }
        r = hf_label_give_back(scene, image, told->kind, record, &end, err);
        if (r >= 0)
                told->outcome = outcome_of(end);
        return r;
}

static void settle_kind(const struct hf_label_scene *scene, const struct hf_label_image *image,
                        const struct hf_label_kind *kind, hf_label_told_fn tell, void *ctx)
{
        hf_cleanup_label_record struct hf_label_record record = {0};
        struct hf_error error = {0};
        struct hf_label_told told = {.path = image->path, .kind = kind};
        int r = hf_label_load(&scene->store, image, kind, &record, &error);

        if (r == 0) {
                /* Killed before the record was written, or when it was gone: an index of nothing.
                 */
                (void)hf_table_remove(&scene->store, image, kind, NULL);
                return;
        }
        if (r > 0) {
                told.record = &record;
                r = settle_record(scene, image, &record, &told, &error);
        }
        if (r < 0) {
                told.outcome = HF_LABEL_FAILED;
                told.error = &error;
        }
        tell(ctx, &told);
}

static int settle_target(const struct hf_label_scene *scene,
                         const struct holdfast_metadata_target *target, const char *path,
                         hf_label_told_fn tell, void *ctx, struct hf_error *err)
{
        hf_cleanup_label_locked struct hf_label_locked locked = {0};
        int r = hf_label_lock(scene, target, 1, &locked, err);

        if (r < 0)
                return r;
        if (path)
                locked.images[0].path = path;
        for (size_t i = 0; i < HF_LABEL_KINDS; i++)
                settle_kind(scene, &locked.images[0], hf_label_kinds[i], tell, ctx);
        return 0;
}

int hf_label_settle(const struct hf_label_scene *scene, const char *path, hf_label_told_fn tell,
                    void *ctx, struct hf_error *err)
{
        const struct holdfast_metadata_target target = {.path = path, .fd = -1};

        return settle_target(scene, &target, path, tell, ctx, err);
}

/* ---- finding the image of an entry ---- */

static const struct hf_label_kind *kind_of(const struct hf_table_entry *entry)
{
        const char *dot = strrchr(entry->name, '.');

        for (size_t i = 0; i < HF_LABEL_KINDS; i++)
                if (!strcmp(hf_label_kinds[i]->name, dot + 1))
                        return hf_label_kinds[i];
        return hf_label_kinds[0];
}

static bool is_image(int fd, const struct hf_label_record *record)
{
        struct hf_label_file file;

        return hf_label_file_of(fd, &file, NULL) >= 0 && hf_label_file_same(&file, &record->file);
}

/* The nearest directory above a path that is there. */
static int open_above(const char *path)
{
        char dir[PATH_MAX];
        int fd = -1;

        (void)snprintf(dir, sizeof(dir), "%s", path);
        for (char *slash; fd < 0 && (slash = strrchr(dir, '/'));) {
                slash[slash == dir] = '\0';
                fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
                if (slash == dir)
                        break;
        }
        return fd;
}

/* An inode by its handle, on the filesystem that dir is on. */
static int open_by_handle(int dir, const struct hf_label_file *file)
{
        union {
                struct file_handle handle;
                uint8_t room[sizeof(struct file_handle) + MAX_HANDLE_SZ];
        } wanted = {0};
        uint32_t type;

        if (file->n_handle < sizeof(type))
                return -EOPNOTSUPP;
        memcpy(&type, file->handle, sizeof(type));
        wanted.handle.handle_type = (int)type;
        wanted.handle.handle_bytes = (unsigned int)(file->n_handle - sizeof(type));
        memcpy(wanted.handle.f_handle, file->handle + sizeof(type), wanted.handle.handle_bytes);
        dir = open_by_handle_at(dir, &wanted.handle, O_PATH | O_CLOEXEC);
        return dir < 0 ? -errno : dir;
}

/*
 * Opens the image of a record, by its path, or where it has another name by its handle.
 * -ESTALE: it is certain that it is no more; -ENOENT: it is not found.
 */
static int find_image(const struct hf_label_record *record)
{
        hf_cleanup_fd int fd = open(record->path, O_PATH | O_CLOEXEC), above = -1;
        bool replaced = fd >= 0;
        struct stat st;

        if (fd >= 0 && is_image(fd, record))
                return hf_steal_fd(&fd);
        hf_close_fd(&fd);
        above = open_above(record->path);
        if (above < 0 || fstat(above, &st) < 0)
                return -ENOENT;
        fd = open_by_handle(above, &record->file);
        if (fd >= 0 && is_image(fd, record))
                return hf_steal_fd(&fd);
        /* Another filesystem may be there, as its own is not mounted. */
        if (st.st_dev != record->file.dev)
                return -ENOENT;
        if (fd >= 0 || fd == -ESTALE || (fd == -EOPNOTSUPP && replaced)) {
                fd = -1;
                return -ESTALE;
        }
        fd = -1;
        return -ENOENT;
}

/* ---- entries of the table ---- */

static void tell_of(const struct hf_table_entry *entry, enum hf_label_outcome outcome,
                    const struct hf_error *error, hf_label_told_fn tell, void *ctx)
{
        const struct hf_label_told told = {
                .path = entry->damaged ? entry->name : entry->record.path,
                .kind = kind_of(entry),
                .outcome = outcome,
                .record = entry->damaged ? NULL : &entry->record,
                .error = error,
        };

        tell(ctx, &told);
}

static void settle_absent(const struct hf_label_scene *scene, const struct hf_table_entry *entry,
                          int number, hf_label_told_fn tell, void *ctx)
{
        struct hf_error error = {0};

        if (number != ESTALE) {
                (void)hf_error_sys(&error, number, "%s is not found", entry->record.path);
                tell_of(entry, HF_LABEL_MISSING, &error, tell, ctx);
        } else if (hf_table_drop(scene->table_dir, entry, &error) < 0) {
                tell_of(entry, HF_LABEL_FAILED, &error, tell, ctx);
        } else {
                tell_of(entry, HF_LABEL_GONE, NULL, tell, ctx);
        }
}

static void settle_entry(const struct hf_label_scene *scene, const struct hf_table_entry *entry,
                         hf_label_told_fn tell, void *ctx)
{
        struct hf_error error = {0};
        hf_cleanup_fd int fd = -1;
        int r;

        if (entry->damaged) {
                (void)hf_error_set(&error, EBADMSG, HF_ERR_INTERNAL, HF_FROM_NONE,
                                   "the record %s/%s is damaged", scene->table_dir, entry->name);
                tell_of(entry, HF_LABEL_FAILED, &error, tell, ctx);
                return;
        }
        fd = find_image(&entry->record);
        if (fd < 0) {
                settle_absent(scene, entry, -fd, tell, ctx);
                return;
        }
        r = settle_target(scene, &(struct holdfast_metadata_target){NULL, fd}, NULL, tell, ctx,
                          &error);
        if (r < 0)
                tell_of(entry, HF_LABEL_FAILED, &error, tell, ctx);
}

/* Whether an entry before it was of the same file: all kinds are settled at once. */
static bool was_settled(const struct hf_table_list *list, size_t place)
{
        const struct hf_table_entry *entry = &list->entries[place];

        for (size_t i = 0; i < place; i++)
                if (!entry->damaged && !list->entries[i].damaged &&
                    list->entries[i].record.file.dev == entry->record.file.dev &&
                    hf_label_file_same(&list->entries[i].record.file, &entry->record.file) &&
                    strcmp(list->entries[i].record.path, entry->record.path) == 0)
                        return true;
        return false;
}

int hf_label_settle_all(const struct hf_label_scene *scene, hf_label_told_fn tell, void *ctx,
                        struct hf_error *err)
{
        hf_cleanup_table_list struct hf_table_list list = {0};
        int r = hf_table_list(scene->table_dir, &list, err);

        for (size_t i = 0; i < list.n; i++)
                if (!was_settled(&list, i))
                        settle_entry(scene, &list.entries[i], tell, ctx);
        hf_table_sweep(scene->table_dir);
        hf_life_sweep(scene->life_dir);
        return r;
}

/* Whether its image was at one of the paths, and is not. */
static bool is_absent(const struct hf_table_entry *entry, const char *const *paths, size_t n)
{
        for (size_t i = 0; i < n && !entry->damaged; i++) {
                hf_cleanup_fd int fd = -1;

                if (strcmp(entry->record.path, paths[i]) != 0)
                        continue;
                fd = open(paths[i], O_PATH | O_CLOEXEC);
                return fd < 0 || !is_image(fd, &entry->record);
        }
        return false;
}

int hf_label_settle_absent(const struct hf_label_scene *scene, const char *const *paths, size_t n,
                           hf_label_told_fn tell, void *ctx, struct hf_error *err)
{
        hf_cleanup_table_list struct hf_table_list list = {0};
        int r = hf_table_list(scene->table_dir, &list, err);

        for (size_t i = 0; i < list.n; i++)
                if (is_absent(&list.entries[i], paths, n))
                        settle_entry(scene, &list.entries[i], tell, ctx);
        return r;
}

/* ---- without settling ---- */

static int drop_absent(const struct hf_label_scene *scene, const char *path, struct hf_error *err)
{
        hf_cleanup_table_list struct hf_table_list list = {0};
        int r = hf_table_list(scene->table_dir, &list, err);

        for (size_t i = 0; i < list.n && r >= 0; i++)
                if (!list.entries[i].damaged && !strcmp(list.entries[i].record.path, path))
                        r = hf_table_drop(scene->table_dir, &list.entries[i], err);
        return r;
}

int hf_label_drop(const struct hf_label_scene *scene, const char *path, struct hf_error *err)
{
        const struct holdfast_metadata_target target = {.path = path, .fd = -1};
        hf_cleanup_label_locked struct hf_label_locked locked = {0};
        struct stat st;
        int r;

        if (stat(path, &st) < 0 && (errno == ENOENT || errno == ENOTDIR))
                return drop_absent(scene, path, err);
        r = hf_label_lock(scene, &target, 1, &locked, err);
        for (size_t i = 0; i < HF_LABEL_KINDS && r >= 0; i++)
                r = hf_label_forget(&scene->store, &locked.images[0], hf_label_kinds[i], err);
        return r;
}

int hf_label_show(const struct hf_label_scene *scene, const struct hf_table_entry *entry,
                  struct hf_label_record *ret, char now[static HF_LABEL_TEXT_MAX])
{
        const struct hf_label_kind *kind = kind_of(entry);
        struct hf_label_image image;
        hf_cleanup_fd int fd = -1;
        int r;

        now[0] = '\0';
        if (entry->damaged)
                return -EBADMSG;
        fd = find_image(&entry->record);
        if (fd < 0)
                return 0;
        r = hf_label_image_of(fd, entry->record.path, &image, NULL);
        if (r >= 0)
                r = hf_label_load(&scene->store, &image, kind, ret, NULL);
        if (r > 0 && kind->read(fd, now) < 0)
                now[0] = '\0';
        return r;
}
