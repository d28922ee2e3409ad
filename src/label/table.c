/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "label/table.h"

#include "label/life.h"

#include "base/cleanup.h"
#include "base/path.h"
#include "base/process.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

/* An entry while it is written has the name of its writer, "PID-START", and this: never listed. */
#define TEMPORARY ".new"

/* Of such a name. */
#define TEMPORARY_MAX (16 + 24 + sizeof(TEMPORARY))

/* Three numbers in hexadecimal, the kind, and what is between and behind them. */
#define ENTRY_NAME_MAX (16 + 8 + 16 + 4 + HF_LABEL_KIND_MAX)

static void name_of(const struct hf_label_file *file, const char *kind,
                    char ret[static ENTRY_NAME_MAX])
{
        (void)snprintf(ret, ENTRY_NAME_MAX, "%llx-%08x-%llx.%s", (unsigned long long)file->ino,
                       hf_label_file_hash(file), (unsigned long long)file->dev, kind);
}

static int open_dir(const char *dir, struct hf_error *err)
{
        int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        return fd < 0 ? hf_error_sys(err, errno, "cannot open %s", dir) : fd;
}

/* ---- one entry ---- */

/* All of a file, with no more than a record can have. */
static int read_all(int fd, char **ret, size_t *ret_len)
{
        hf_cleanup_free char *text = NULL;
        struct stat st;
        size_t used = 0;
        ssize_t n;

        if (fstat(fd, &st) < 0)
                return -errno;
        if (!S_ISREG(st.st_mode) || st.st_size > HF_LABEL_RECORD_MAX)
                return -EBADMSG;
        text = malloc((size_t)st.st_size + 1);
        if (!text)
                return -ENOMEM;
        do {
                n = read(fd, text + used, (size_t)st.st_size - used);
                used += n > 0 ? (size_t)n : 0;
        } while (n > 0 || (n < 0 && errno == EINTR));
        if (n < 0)
                return -errno;
        *ret = hf_steal_ptr(text);
        *ret_len = used;
        return 0;
}

/* -ENOENT: there is none. */
static int read_entry(int dir, const char *name, struct hf_label_record *ret)
{
        hf_cleanup_fd int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
        hf_cleanup_free char *text = NULL;
        size_t len = 0;
        int r;

        if (fd < 0)
                return -errno;
        r = read_all(fd, &text, &len);
        return r < 0 ? r : hf_label_record_decode(text, len, ret);
}

static int write_all(int fd, const char *text, size_t len)
{
        while (len) {
                ssize_t n = write(fd, text, len);

                if (n < 0 && errno != EINTR)
                        return -errno;
                text += n > 0 ? n : 0;
                len -= n > 0 ? (size_t)n : 0;
        }
        return fsync(fd) < 0 ? -errno : 0;
}

static int replace_entry(int dir, const char *name, const char *text, size_t len)
{
        char temporary[TEMPORARY_MAX];
        hf_cleanup_fd int fd = -1;
        uint64_t start;
        int r = hf_process_start(getpid(), &start);

        if (r < 0)
                return r;
        (void)snprintf(temporary, sizeof(temporary), "%d-%llu" TEMPORARY, (int)getpid(),
                       (unsigned long long)start);
        fd = openat(dir, temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0)
                return -errno;
        r = write_all(fd, text, len);
        if (r >= 0 && renameat(dir, temporary, dir, name) < 0)
                r = -errno;
        if (r < 0) {
                (void)unlinkat(dir, temporary, 0);
                return r;
        }
        return fsync(dir) < 0 ? -errno : 0;
}

int hf_table_save(const struct hf_label_store *store, const struct hf_label_image *image,
                  const struct hf_label_record *record, struct hf_error *err)
{
        char name[ENTRY_NAME_MAX];
        hf_cleanup_free char *text = NULL;
        hf_cleanup_fd int dir = -1;
        size_t len = 0;
        int r = hf_path_make_dirs(store->dir, 0700, err);

        if (r < 0)
                return r;
        dir = open_dir(store->dir, err);
        if (dir < 0)
                return dir;
        r = hf_label_record_encode(record, &text, &len);
        name_of(&image->file, record->kind, name);
        if (r >= 0)
                r = replace_entry(dir, name, text, len);
        return r < 0 ? hf_error_sys(err, -r, "cannot write %s/%s, the record of %s", store->dir,
                                    name, image->path)
                     : 0;
}

/* ---- the entry of an image ---- */

static int damaged(const struct hf_label_store *store, const struct hf_label_image *image,
                   const char *name, int r, struct hf_error *err)
{
        if (r != -EBADMSG)
                return hf_error_sys(err, -r, "cannot read %s/%s, the record of %s", store->dir,
                                    name, image->path);
        return hf_error_set(
                err, EBADMSG, HF_ERR_INTERNAL, HF_FROM_NONE,
                "%s: the record of its label, %s/%s, is damaged; set the label by hand, "
                "then run 'holdfast label repair --forget %s'",
                image->path, store->dir, name, image->path);
}

/* Whether the record that is of another start of this host is about this very file. */
static bool is_old_record_of(const struct hf_label_record *record,
                             const struct hf_label_store *store, const struct hf_label_image *image)
{
        return memcmp(record->boot, store->boot, sizeof(store->boot)) != 0 &&
               hf_label_file_same(&record->file, &image->file) &&
               !strcmp(record->path, image->real);
}

/*
 * The entry by another device number, of before the host was started anew: it gets the
 * name that it has now. Returns whether there was one.
 */
static bool rename_old(int dir, const struct hf_label_store *store,
                       const struct hf_label_image *image, const char *kind, const char *name)
{
        int again = fcntl(dir, F_DUPFD_CLOEXEC, 0);
        hf_cleanup_dir DIR *entries = again < 0 ? NULL : fdopendir(again);
        char prefix[24];
        struct dirent *entry;

        (void)snprintf(prefix, sizeof(prefix), "%llx-", (unsigned long long)image->file.ino);
        if (entries)
                rewinddir(entries);
        while (entries && (entry = readdir(entries))) {
                hf_cleanup_label_record struct hf_label_record record = {0};
                const char *dot = strrchr(entry->d_name, '.');

                if (strncmp(entry->d_name, prefix, strlen(prefix)) != 0 || !dot ||
                    strcmp(dot + 1, kind) != 0 || read_entry(dir, entry->d_name, &record) < 0 ||
                    !is_old_record_of(&record, store, image))
                        continue;
                return renameat(dir, entry->d_name, dir, name) == 0;
        }
        return false;
}

int hf_table_load(const struct hf_label_store *store, const struct hf_label_image *image,
                  const struct hf_label_kind *kind, struct hf_label_record *ret,
                  struct hf_error *err)
{
        hf_cleanup_label_record struct hf_label_record record = {0};
        hf_cleanup_fd int dir = open(store->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        char name[ENTRY_NAME_MAX];
        int r;

        if (dir < 0)
                return errno == ENOENT ? 0 : open_dir(store->dir, err);
        name_of(&image->file, kind->name, name);
        r = read_entry(dir, name, &record);
        if (r == -ENOENT && rename_old(dir, store, image, kind->name, name))
                r = read_entry(dir, name, &record);
        if (r < 0)
                return r == -ENOENT ? 0 : damaged(store, image, name, r, err);
        if (!hf_label_file_same(&record.file, &image->file) || strcmp(record.kind, kind->name) != 0)
                return 0;
        *ret = record;
        record = (struct hf_label_record){0};
        return 1;
}

int hf_table_remove(const struct hf_label_store *store, const struct hf_label_image *image,
                    const struct hf_label_kind *kind, struct hf_error *err)
{
        hf_cleanup_fd int dir = open(store->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        char name[ENTRY_NAME_MAX];

        if (dir < 0)
                return errno == ENOENT ? 0 : open_dir(store->dir, err);
        name_of(&image->file, kind->name, name);
        if (unlinkat(dir, name, 0) < 0 && errno != ENOENT)
                return hf_error_sys(err, errno, "cannot remove %s/%s", store->dir, name);
        return 0;
}

/* ---- all entries ---- */

static int by_path(const void *a, const void *b)
{
        const struct hf_table_entry *one = a, *two = b;
        int order = strcmp(one->record.path, two->record.path);

        return order ? order : strcmp(one->name, two->name);
}

/* A name that save gives; others are not ours to judge. */
static bool is_entry(const char *name)
{
        const char *dot = strrchr(name, '.');

        for (size_t i = 0; dot && i < HF_LABEL_KINDS; i++)
                if (!strcmp(dot + 1, hf_label_kinds[i]->name))
                        return true;
        return false;
}

static int append(struct hf_table_list *list, int dir, const char *name)
{
        struct hf_table_entry *grown, entry = {0};
        int r = read_entry(dir, name, &entry.record);

        /* Removed since the directory was read. */
        if (r == -ENOENT)
                return 0;
        if (r < 0 && r != -EBADMSG)
                return r;
        entry.damaged = r < 0;
        entry.name = strdup(name);
        grown = reallocarray(list->entries, list->n + 1, sizeof(*grown));
        if (grown)
                list->entries = grown;
        if (!entry.name || !grown) {
                hf_label_record_clear(&entry.record);
                free(entry.name);
                return -ENOMEM;
        }
        list->entries[list->n++] = entry;
        return 0;
}

int hf_table_list(const char *dir, struct hf_table_list *ret, struct hf_error *err)
{
        hf_cleanup_table_list struct hf_table_list list = {0};
        hf_cleanup_dir DIR *entries = opendir(dir);
        struct dirent *entry;
        int r = 0;

        if (!entries && errno != ENOENT)
                return hf_error_sys(err, errno, "cannot read %s", dir);
        while (r >= 0 && entries && (entry = readdir(entries)))
                if (is_entry(entry->d_name))
                        r = append(&list, dirfd(entries), entry->d_name);
        if (r < 0)
                return hf_error_sys(err, -r, "cannot read what is in %s", dir);
        if (list.n)
                qsort(list.entries, list.n, sizeof(*list.entries), by_path);
        *ret = list;
        list = (struct hf_table_list){0};
        return 0;
}

void hf_table_list_clear(struct hf_table_list *list)
{
        for (size_t i = 0; i < list->n; i++) {
                hf_label_record_clear(&list->entries[i].record);
                free(list->entries[i].name);
        }
        free(list->entries);
        *list = (struct hf_table_list){0};
}

void hf_table_sweep(const char *dir)
{
        hf_cleanup_dir DIR *entries = opendir(dir);
        struct dirent *entry;

        while (entries && (entry = readdir(entries))) {
                const char *dot = strrchr(entry->d_name, '.');
                unsigned long long start;
                int pid;

                if (dot && !strcmp(dot, TEMPORARY) &&
                    sscanf(entry->d_name, "%d-%llu", &pid, &start) == 2 &&
                    !hf_life_of_process(pid, start))
                        (void)unlinkat(dirfd(entries), entry->d_name, 0);
        }
}

int hf_table_drop(const char *dir, const struct hf_table_entry *entry, struct hf_error *err)
{
        hf_cleanup_label_record struct hf_label_record now = {0};
        hf_cleanup_fd int fd = open_dir(dir, err);
        int r;

        if (fd < 0)
                return fd;
        r = read_entry(fd, entry->name, &now);
        if (r == -ENOENT)
                return 0;
        if (r >= 0 && (entry->damaged || !hf_label_file_same(&now.file, &entry->record.file) ||
                       strcmp(now.path, entry->record.path) != 0))
                return 0;
        if (unlinkat(fd, entry->name, 0) < 0 && errno != ENOENT)
                return hf_error_sys(err, errno, "cannot remove %s/%s", dir, entry->name);
        return 0;
}
