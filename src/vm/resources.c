/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vm/resources.h"

#include "base/cleanup.h"

#include <string.h>

#define STRENGTH_FLAGS (HF_VM_DISK_READONLY | HF_VM_DISK_SHARED)
#define GIVEN_FLAGS    (HF_VM_DISK_BACKING_GIVEN | HF_VM_DISK_DATA_GIVEN)

static int no_memory(struct hf_error *err)
{
        return hf_error_sys(err, ENOMEM, "cannot note what the virtual machine holds");
}

static void disk_done(struct hf_vm_disk *disk)
{
        free(disk->path);
        free(disk->format);
        free(disk->from);
        memset(disk, 0, sizeof(*disk));
}

static void lease_done(struct hf_vm_lease *lease)
{
        free(lease->lockspace);
        free(lease->key);
        free(lease->path);
        memset(lease, 0, sizeof(*lease));
}

void hf_vm_spec_init(struct hf_vm_spec *spec)
{
        memset(spec, 0, sizeof(*spec));
}

void hf_vm_spec_free(struct hf_vm_spec *spec)
{
        if (!spec)
                return;
        for (size_t i = 0; i < spec->n_disks; i++)
                disk_done(&spec->disks[i]);
        for (size_t i = 0; i < spec->n_leases; i++)
                lease_done(&spec->leases[i]);
        free(spec->disks);
        free(spec->leases);
        free(spec->name);
        hf_vm_spec_init(spec);
}

/* Room for one more element. An array is full when its length is a power of two (or 0). */
static int grow(void **array, size_t used, size_t element)
{
        void *bigger;

        if (used & (used - 1))
                return 0;
        bigger = reallocarray(*array, used ? 2 * used : 1, element);
        if (!bigger)
                return -ENOMEM;
        *array = bigger;
        return 0;
}

static int check_text(const char *what, const char *text, size_t max, struct hf_error *err)
{
        if (!text || !*text)
                return hf_error_set(err, EINVAL, HF_ERR_INVALID_ARG, HF_FROM_LOCKING,
                                    "the %s is empty", what);
        if (strlen(text) >= max)
                return hf_error_set(err, EINVAL, HF_ERR_INVALID_ARG, HF_FROM_LOCKING,
                                    "the %s is longer than %zu bytes: %.64s...", what, max - 1,
                                    text);
        return 0;
}

int hf_vm_spec_set_name(struct hf_vm_spec *spec, const char *name, struct hf_error *err)
{
        char *copy;
        int r;

        r = check_text("name of the virtual machine", name, HF_VM_NAME_MAX, err);
        if (r < 0)
                return r;
        copy = strdup(name);
        if (!copy)
                return no_memory(err);
        free(spec->name);
        spec->name = copy;
        return 0;
}

/* Larger is stronger. */
static int strength(unsigned flags)
{
        if (flags & HF_VM_DISK_READONLY)
                return 0;
        return flags & HF_VM_DISK_SHARED ? 1 : 2;
}

static struct hf_vm_disk *find(const struct hf_vm_spec *spec, const char *path)
{
        for (size_t i = 0; i < spec->n_disks; i++)
                if (strcmp(spec->disks[i].path, path) == 0)
                        return &spec->disks[i];
        return NULL;
}

const struct hf_vm_disk *hf_vm_spec_find_disk(const struct hf_vm_spec *spec, const char *path)
{
        return find(spec, path);
}

static int copy_text(char **to, const char *from)
{
        if (!from)
                return 0;
        *to = strdup(from);
        return *to ? 0 : -ENOMEM;
}

static int strengthen(struct hf_vm_disk *have, unsigned flags, const char *format, const char *from)
{
        unsigned given = have->flags & flags & GIVEN_FLAGS;
        unsigned wish = have->flags & STRENGTH_FLAGS;

        if (strength(flags) > strength(have->flags)) {
                char *origin = NULL;

                if (copy_text(&origin, from) < 0)
                        return -ENOMEM;
                free(have->from);
                have->from = origin;
                wish = flags & STRENGTH_FLAGS;
        }
        have->flags = wish | given;
        if (have->format && (!format || strcmp(have->format, format) != 0)) {
                free(have->format);
                have->format = NULL;
        }
        return 0;
}

static int append_disk(struct hf_vm_spec *spec, const char *path, unsigned flags,
                       const char *format, const char *from)
{
        hf_cleanup(disk_done) struct hf_vm_disk disk = {.flags = flags};

        if (copy_text(&disk.path, path) < 0 || copy_text(&disk.format, format) < 0 ||
            copy_text(&disk.from, from) < 0 ||
            grow((void **)&spec->disks, spec->n_disks, sizeof(disk)) < 0)
                return -ENOMEM;
        spec->disks[spec->n_disks++] = disk;
        memset(&disk, 0, sizeof(disk));
        return 0;
}

int hf_vm_spec_add_disk(struct hf_vm_spec *spec, const char *path, unsigned flags,
                        const char *format, const char *from, struct hf_error *err)
{
        struct hf_vm_disk *have;
        int r;

        r = check_text("path of a disk", path, HF_VM_PATH_MAX, err);
        if (r < 0)
                return r;
        have = find(spec, path);
        if (!have && spec->n_disks >= HF_VM_DISKS_MAX)
                return hf_error_set(err, E2BIG, HF_ERR_INVALID_ARG, HF_FROM_LOCKING,
                                    "more than %d disks for one virtual machine", HF_VM_DISKS_MAX);
        r = have ? strengthen(have, flags, format, from)
                 : append_disk(spec, path, flags, format, from);
        return r < 0 ? no_memory(err) : 0;
}

static bool same_lease(const struct hf_vm_lease *a, const struct hf_vm_lease *b)
{
        return a->offset == b->offset && strcmp(a->key, b->key) == 0 &&
               strcmp(a->lockspace, b->lockspace) == 0 && strcmp(a->path, b->path) == 0;
}

static int check_lease(const struct hf_vm_lease *lease, struct hf_error *err)
{
        int r;

        r = check_text("lockspace of a lease", lease->lockspace, HF_VM_NAME_MAX, err);
        if (r < 0)
                return r;
        r = check_text("key of a lease", lease->key, HF_VM_NAME_MAX, err);
        if (r < 0)
                return r;
        return check_text("path of a lease", lease->path, HF_VM_PATH_MAX, err);
}

int hf_vm_spec_add_lease(struct hf_vm_spec *spec, const struct hf_vm_lease *lease,
                         struct hf_error *err)
{
        hf_cleanup(lease_done) struct hf_vm_lease copy = {.offset = lease->offset};
        int r;

        r = check_lease(lease, err);
        if (r < 0)
                return r;
        for (size_t i = 0; i < spec->n_leases; i++)
                if (same_lease(&spec->leases[i], lease))
                        return 0;
        if (spec->n_leases >= HF_VM_LEASES_MAX)
                return hf_error_set(err, E2BIG, HF_ERR_INVALID_ARG, HF_FROM_LOCKING,
                                    "more than %d leases for one virtual machine",
                                    HF_VM_LEASES_MAX);
        if (copy_text(&copy.lockspace, lease->lockspace) < 0 ||
            copy_text(&copy.key, lease->key) < 0 || copy_text(&copy.path, lease->path) < 0 ||
            grow((void **)&spec->leases, spec->n_leases, sizeof(copy)) < 0)
                return no_memory(err);
        spec->leases[spec->n_leases++] = copy;
        memset(&copy, 0, sizeof(copy));
        return 0;
}

static int add_all(struct hf_vm_spec *spec, const struct hf_vm_spec *other, struct hf_error *err)
{
        int r;

        if (other->name && !spec->name) {
                r = hf_vm_spec_set_name(spec, other->name, err);
                if (r < 0)
                        return r;
        }
        if (other->has_uuid && !spec->has_uuid) {
                memcpy(spec->uuid, other->uuid, sizeof(spec->uuid));
                spec->has_uuid = true;
        }
        for (size_t i = 0; i < other->n_disks; i++) {
                const struct hf_vm_disk *disk = &other->disks[i];

                r = hf_vm_spec_add_disk(spec, disk->path, disk->flags, disk->format, disk->from,
                                        err);
                if (r < 0)
                        return r;
        }
        for (size_t i = 0; i < other->n_leases; i++) {
                r = hf_vm_spec_add_lease(spec, &other->leases[i], err);
                if (r < 0)
                        return r;
        }
        return 0;
}

int hf_vm_spec_merge(struct hf_vm_spec *spec, const struct hf_vm_spec *other, struct hf_error *err)
{
        hf_cleanup(hf_vm_spec_free) struct hf_vm_spec both = {0};
        struct hf_vm_spec old;
        int r;

        r = add_all(&both, spec, err);
        if (r < 0)
                return r;
        r = add_all(&both, other, err);
        if (r < 0)
                return r;
        old = *spec;
        *spec = both;
        both = old;
        return 0;
}
