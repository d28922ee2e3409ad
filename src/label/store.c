/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "label/store.h"

#include "label/table.h"

#include "base/cleanup.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#define ATTRIBUTE "trusted.holdfast.label."

struct attribute {
        char file[32]; /* calls for attributes want a path, and a descriptor of O_PATH has one */
        char name[sizeof(ATTRIBUTE) + HF_LABEL_KIND_MAX];
};

static struct attribute attribute_of(const struct hf_label_image *image, const char *kind)
{
        struct attribute ret;

        (void)snprintf(ret.file, sizeof(ret.file), "/proc/self/fd/%d", image->fd);
        (void)snprintf(ret.name, sizeof(ret.name), ATTRIBUTE "%s", kind);
        return ret;
}

/* No attributes there, no room for this one, or not for us: then the table. */
static bool goes_to_the_table(int number)
{
        switch (number) {
        case EOPNOTSUPP:
        case ENOSYS:
        case ENOSPC:
        case EDQUOT:
        case E2BIG:
        case ERANGE:
        case EPERM:
        case EACCES:
        case EROFS:
                return true;
        default:
                return false;
        }
}

int hf_label_image_of(int fd, const char *path, struct hf_label_image *ret, struct hf_error *err)
{
        char file[32];
        ssize_t len;
        int r;

        *ret = (struct hf_label_image){.fd = fd, .path = path};
        r = hf_label_file_of(fd, &ret->file, err);
        if (r < 0) {
                hf_error_prefix(err, "%s", path);
                return r;
        }
        if (S_ISDIR(ret->file.mode) || S_ISLNK(ret->file.mode))
                return hf_error_sys(err, EISDIR, "%s is no image", path);
        (void)snprintf(file, sizeof(file), "/proc/self/fd/%d", fd);
        len = readlink(file, ret->real, sizeof(ret->real) - 1);
        if (len < 0)
                return hf_error_sys(err, errno, "cannot tell where %s is", path);
        ret->real[len] = '\0';
        return 0;
}

/* ---- attributes ---- */

/* Returns 1, 0 if there is none, -EBADMSG, or another negative errno. */
static int read_attribute(const struct attribute *at, struct hf_label_record *ret)
{
        hf_cleanup_free char *text = NULL;
        ssize_t len = getxattr(at->file, at->name, NULL, 0);
        int r;

        if (len < 0)
                return errno == ENODATA || goes_to_the_table(errno) ? 0 : -errno;
        text = malloc((size_t)len + 1);
        if (!text)
                return -ENOMEM;
        len = getxattr(at->file, at->name, text, (size_t)len);
        if (len < 0)
                return -errno;
        r = hf_label_record_decode(text, (size_t)len, ret);
        return r < 0 ? r : 1;
}

static int load_attribute(const struct hf_label_image *image, const char *kind,
                          struct hf_label_record *ret, struct hf_error *err)
{
        hf_cleanup_label_record struct hf_label_record record = {0};
        struct attribute at = attribute_of(image, kind);
        int r = read_attribute(&at, &record);

        if (r == -EBADMSG)
                return hf_error_set(err, EBADMSG, HF_ERR_INTERNAL, HF_FROM_NONE,
                                    "%s: the record of its label, in its attribute %s, is damaged; "
                                    "set the label by hand, then run 'holdfast label repair "
                                    "--forget %s'",
                                    image->path, at.name, image->path);
        if (r < 0)
                return hf_error_sys(err, -r, "cannot read the attributes of %s", image->path);
        /* A copy of a file has the attributes of the original. */
        if (!r || strcmp(record.kind, kind) != 0 || !hf_label_file_same(&record.file, &image->file))
                return 0;
        *ret = record;
        record = (struct hf_label_record){0};
        return 1;
}

static int remove_attribute(const struct hf_label_image *image, const char *kind,
                            struct hf_error *err)
{
        struct attribute at = attribute_of(image, kind);

        if (removexattr(at.file, at.name) < 0 && errno != ENODATA && errno != EOPNOTSUPP) {
                int number = errno;

                /* That it cannot be removed matters only if it is there. */
                if (getxattr(at.file, at.name, NULL, 0) < 0)
                        return 0;
                return hf_error_sys(err, number, "cannot remove the attribute %s of %s", at.name,
                                    image->path);
        }
        return 0;
}

/* Returns 1 where it has to go to the table. */
static int save_attribute(const struct hf_label_image *image, const struct hf_label_record *record,
                          struct hf_error *err)
{
        struct attribute at = attribute_of(image, record->kind);
        hf_cleanup_free char *text = NULL;
        size_t len = 0;
        int r = hf_label_record_encode(record, &text, &len);

        if (r < 0)
                return hf_error_sys(err, -r, "cannot write the record of %s", image->path);
        if (setxattr(at.file, at.name, text, len, 0) == 0)
                return 0;
        return goes_to_the_table(errno)
                       ? 1
                       : hf_error_sys(err, errno, "cannot write the attributes of %s", image->path);
}

/* ---- both ---- */

int hf_label_load(const struct hf_label_store *store, const struct hf_label_image *image,
                  const struct hf_label_kind *kind, struct hf_label_record *ret,
                  struct hf_error *err)
{
        hf_cleanup_label_record struct hf_label_record record = {0};
        int r = hf_table_load(store, image, kind, &record, err);

        if (r < 0)
                return r;
        if (r == 0 || record.place != HF_LABEL_TABLE)
                return load_attribute(image, kind->name, ret, err);
        *ret = record;
        record = (struct hf_label_record){0};
        return 1;
}

static int save_in_table(const struct hf_label_store *store, const struct hf_label_image *image,
                         struct hf_label_record *record, struct hf_error *err)
{
        int r;

        record->place = HF_LABEL_TABLE;
        (void)snprintf(record->path, sizeof(record->path), "%s", image->real);
        r = hf_table_save(store, image, record, err);
        /* One that was there before counts no more, and is removed with this one at the latest. */
        if (r >= 0)
                (void)remove_attribute(image, record->kind, NULL);
        return r;
}

/* What the table says of a record that is in an attribute: where, and nothing else. */
static int save_index(const struct hf_label_store *store, const struct hf_label_image *image,
                      const struct hf_label_record *record, struct hf_error *err)
{
        hf_cleanup_label_record struct hf_label_record there = {0}, index = *record;
        const struct hf_label_kind kind = {.name = record->kind};

        index.users = NULL;
        index.n_users = 0;
        (void)snprintf(index.path, sizeof(index.path), "%s", image->real);
        /* Most often it is there already: then nothing has to be written, and no disk waited for.
         */
        if (hf_table_load(store, image, &kind, &there, NULL) == 1 &&
            there.place == HF_LABEL_ATTRIBUTE && !strcmp(there.path, index.path) &&
            !memcmp(there.boot, index.boot, sizeof(index.boot)) && there.file.dev == index.file.dev)
                return 0;
        return hf_table_save(store, image, &index, err);
}

int hf_label_save(const struct hf_label_store *store, const struct hf_label_image *image,
                  struct hf_label_record *record, struct hf_error *err)
{
        hf_cleanup_label_record struct hf_label_record there = {0};
        const struct hf_label_kind kind = {.name = record->kind};
        int r = hf_table_load(store, image, &kind, &there, err);

        if (r < 0)
                return r;
        memcpy(record->boot, store->boot, sizeof(record->boot));
        record->file = image->file;
        if (r == 1 && there.place == HF_LABEL_TABLE)
                return save_in_table(store, image, record, err);
        record->place = HF_LABEL_ATTRIBUTE;
        r = save_index(store, image, record, err);
        if (r < 0)
                return r;
        (void)snprintf(record->path, sizeof(record->path), "-");
        r = save_attribute(image, record, err);
        return r <= 0 ? r : save_in_table(store, image, record, err);
}

int hf_label_forget(const struct hf_label_store *store, const struct hf_label_image *image,
                    const struct hf_label_kind *kind, struct hf_error *err)
{
        int r = remove_attribute(image, kind->name, err);

        return r < 0 ? r : hf_table_remove(store, image, kind, err);
}
