/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vm/image-chain.h"

#include "base/cleanup.h"
#include "vm/qcow2-header.h"
#include "vm/qemu-walk.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#define MODE_FLAGS (HF_VM_DISK_READONLY | HF_VM_DISK_SHARED)

/* Enough to know how much of the image the header is. */
#define PEEK 64

struct chain {
        struct hf_vm_spec *spec;
        struct hf_error *err;
        unsigned opens;
        /* The images from the disk down to the one at work. */
        struct {
                dev_t dev;
                ino_t ino;
        } above[HF_IMAGE_CHAIN_MAX];
};

/* One name in a header. */
struct reference {
        const char *image; /* the path of the image that says it */
        const char *name;
        const char *format; /* NULL: not said */
        const char *what;   /* "backing file", "data file" */
        unsigned flags;     /* for the file */
};

static int walk_image(struct chain *chain, const struct hf_vm_disk *disk, unsigned depth);

static int cannot_read(struct chain *chain, const char *path)
{
        return hf_error_sys(chain->err, errno, "cannot read %s, which may have a backing file",
                            path);
}

/*
 * Opens an image; *ret_fd stays -1 if there is nothing to read: the disk is not there, is an
 * empty drive, or of another kind (a character device, a pipe), which opening might disturb.
 */
static int open_image(struct chain *chain, const char *path, struct stat *st, int *ret_fd)
{
        int fd;

        if (stat(path, st) < 0) {
                if (errno == ENOENT || errno == ENOTDIR)
                        return 0;
                return cannot_read(chain, path);
        }
        if (!S_ISREG(st->st_mode) && !S_ISBLK(st->st_mode))
                return 0;
        fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
        if (fd < 0) {
                if (errno == ENOENT || errno == ENOMEDIUM)
                        return 0;
                return cannot_read(chain, path);
        }
        *ret_fd = fd;
        return 0;
}

/* Reads up to `size` bytes from the start, fewer if the image is shorter. */
static ssize_t read_start(int fd, void *buffer, size_t size)
{
        size_t done = 0;
        ssize_t n;

        while (done < size) {
                n = pread(fd, (char *)buffer + done, size - done, (off_t)done);
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -1;
                if (n == 0)
                        break;
                done += (size_t)n;
        }
        return (ssize_t)done;
}

/* As hf_qcow2_header_parse. */
static int read_header(struct chain *chain, const char *path, int fd, struct hf_qcow2_header *ret)
{
        hf_cleanup_free void *bytes = NULL;
        char peek[PEEK];
        size_t size;
        ssize_t n;
        int r;

        n = read_start(fd, peek, sizeof(peek));
        if (n < 0)
                return cannot_read(chain, path);
        size = hf_qcow2_header_size(peek, (size_t)n);
        if (size == 0)
                return 0;
        bytes = malloc(size);
        if (!bytes) {
                errno = ENOMEM;
                return cannot_read(chain, path);
        }
        n = read_start(fd, bytes, size);
        if (n < 0)
                return cannot_read(chain, path);
        r = hf_qcow2_header_parse(bytes, (size_t)n, ret, chain->err);
        if (r < 0)
                hf_error_prefix(chain->err, "%s", path);
        return r;
}

/* A path beside the image, in the spelling of the image's own path. */
static int add_beside(struct chain *chain, const struct reference *ref, struct hf_vm_spec *found)
{
        const char *slash = strrchr(ref->image, '/');
        hf_cleanup_free char *path = NULL;
        int r;

        if (*ref->name == '/' || !slash)
                r = asprintf(&path, "%s", ref->name);
        else
                r = asprintf(&path, "%.*s%s", (int)(slash + 1 - ref->image), ref->image, ref->name);
        if (r < 0) {
                path = NULL;
                return hf_error_sys(chain->err, ENOMEM, "%s", ref->name);
        }
        return hf_vm_spec_add_disk(found, path, ref->flags, ref->format, NULL, chain->err);
}

/* The node of an image of that format (if it is said) in that file. */
static struct json_object *image_node(struct json_object *file, const char *format)
{
        hf_cleanup_json struct json_object *image = json_object_new_object();

        if (!image || hf_qemu_tree_put(image, "file", json_object_get(file)) < 0)
                return NULL;
        if (format && hf_qemu_tree_put(image, "driver", json_object_new_string(format)) < 0)
                return NULL;
        return hf_steal_ptr(image);
}

/* PROTOCOL:... or json:{...}: what it leads to, if it is a file. */
static int add_named(struct chain *chain, const struct reference *ref, struct hf_vm_spec *found)
{
        struct hf_qemu_walk walk = {.spec = found, .err = chain->err};
        hf_cleanup_json struct json_object *node = NULL, *image = NULL;
        bool whole;
        int r;

        r = hf_qemu_filename_parse(ref->name, &node, &whole, chain->err);
        if (r < 0)
                return r;
        image = whole ? hf_steal_ptr(node) : image_node(node, ref->format);
        if (!image)
                return hf_error_sys(chain->err, ENOMEM, "%s", ref->name);
        return hf_qemu_walk_root(&walk, image, ref->flags, NULL);
}

static int follow(struct chain *chain, const struct reference *ref, unsigned depth)
{
        hf_cleanup(hf_vm_spec_free) struct hf_vm_spec found = {0};
        hf_cleanup_free char *from = NULL;
        int r;

        if (hf_qemu_filename_has_protocol(ref->name))
                r = add_named(chain, ref, &found);
        else
                r = add_beside(chain, ref, &found);
        if (r >= 0 && asprintf(&from, "%s of %s", ref->what, ref->image) < 0) {
                from = NULL;
                r = hf_error_sys(chain->err, ENOMEM, "%s", ref->name);
        } else if (r < 0) {
                hf_error_prefix(chain->err, "%s of %s", ref->what, ref->image);
        }
        for (size_t i = 0; r >= 0 && i < found.n_disks; i++) {
                const struct hf_vm_disk *disk = &found.disks[i];

                r = hf_vm_spec_add_disk(chain->spec, disk->path, disk->flags, disk->format, from,
                                        chain->err);
                if (r >= 0)
                        r = walk_image(chain, disk, depth + 1);
        }
        return r;
}

static int follow_header(struct chain *chain, const struct hf_vm_disk *disk,
                         const struct hf_qcow2_header *header, unsigned depth)
{
        struct reference backing = {
                .image = disk->path,
                .name = header->backing,
                .format = *header->backing_format ? header->backing_format : NULL,
                .what = "backing file",
                .flags = HF_VM_DISK_READONLY,
        };
        struct reference data = {
                .image = disk->path,
                .name = header->data_file,
                .format = "raw",
                .what = "data file",
                .flags = disk->flags & MODE_FLAGS,
        };
        int r;

        if (*data.name && !(disk->flags & HF_VM_DISK_DATA_GIVEN)) {
                r = follow(chain, &data, depth);
                if (r < 0)
                        return r;
        }
        if (!*backing.name || (disk->flags & HF_VM_DISK_BACKING_GIVEN))
                return 0;
        return follow(chain, &backing, depth);
}

/* Notes that `st` is being followed at this depth; an image below itself has no end. */
static int enter(struct chain *chain, const char *path, const struct stat *st, unsigned depth)
{
        for (unsigned i = 0; i < depth; i++)
                if (chain->above[i].dev == st->st_dev && chain->above[i].ino == st->st_ino)
                        return hf_error_set(chain->err, ELOOP, HF_ERR_INVALID_ARG, HF_FROM_LOCKING,
                                            "%s is its own backing file", path);
        chain->above[depth].dev = st->st_dev;
        chain->above[depth].ino = st->st_ino;
        return 0;
}

static int check_limits(struct chain *chain, const char *path, unsigned depth)
{
        if (depth < HF_IMAGE_CHAIN_MAX && chain->opens < HF_IMAGE_OPENS_MAX) {
                chain->opens++;
                return 0;
        }
        return hf_error_set(chain->err, ELOOP, HF_ERR_INVALID_ARG, HF_FROM_LOCKING,
                            "%s: too many backing files (%d in a chain, %d in all)", path,
                            HF_IMAGE_CHAIN_MAX, HF_IMAGE_OPENS_MAX);
}

static bool may_name_files(const char *format)
{
        return !format || strcmp(format, "qcow2") == 0 || strcmp(format, "qcow") == 0;
}

static int walk_image(struct chain *chain, const struct hf_vm_disk *disk, unsigned depth)
{
        hf_cleanup_free struct hf_qcow2_header *header = NULL;
        hf_cleanup_fd int fd = -1;
        struct stat st;
        int r;

        if (!may_name_files(disk->format))
                return 0;
        r = check_limits(chain, disk->path, depth);
        if (r < 0)
                return r;
        r = open_image(chain, disk->path, &st, &fd);
        if (r < 0 || fd < 0)
                return r;
        r = enter(chain, disk->path, &st, depth);
        if (r < 0)
                return r;
        header = malloc(sizeof(*header));
        if (!header)
                return hf_error_sys(chain->err, ENOMEM, "%s", disk->path);
        r = read_header(chain, disk->path, fd, header);
        if (r <= 0)
                return r;
        hf_close_fd(&fd);
        return follow_header(chain, disk, header, depth);
}

int hf_image_chain_add(struct hf_vm_spec *spec, struct hf_error *err)
{
        hf_cleanup(hf_vm_spec_free) struct hf_vm_spec start = {0};
        hf_cleanup_free struct chain *chain = calloc(1, sizeof(*chain));
        int r;

        if (!chain)
                return hf_error_sys(err, ENOMEM, "cannot look for backing files");
        chain->spec = spec;
        chain->err = err;
        r = hf_vm_spec_merge(&start, spec, err);
        for (size_t i = 0; r >= 0 && i < start.n_disks; i++)
                r = walk_image(chain, &start.disks[i], 0);
        return r < 0 ? r : 0;
}
