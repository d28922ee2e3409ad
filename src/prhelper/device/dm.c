/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "prhelper/device/dm.h"

#include "base/cleanup.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/dm-ioctl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#define CONTROL "/dev/mapper/control"

/*
 * One target takes some hundred bytes. A logical volume in as many pieces as the larger of these
 * has room for is no disk of a VM.
 */
#define ANSWER_SIZE     ((size_t)16 << 10)
#define ANSWER_SIZE_MAX ((size_t)1 << 20)

/* The interface of the kernel is one since 2003; a newer minor number means additions alone. */
#define VERSION_MAJOR 4

#define SYSFS         "/sys/dev/block"

int hf_dm_count_multipath(const void *data, size_t size, unsigned int targets)
{
        size_t at = 0;
        int count = 0;

        for (unsigned int i = 0; i < targets; i++) {
                struct dm_target_spec spec;

                if (at > size || size - at < sizeof(spec))
                        return -EBADMSG;
                memcpy(&spec, (const char *)data + at, sizeof(spec));
                if (strncmp(spec.target_type, "multipath", sizeof(spec.target_type)) == 0)
                        count++;
                /* Counted from the first target. */
                if (i + 1 < targets && spec.next <= at)
                        return -EBADMSG;
                at = spec.next;
        }
        return count;
}

static int open_control(struct hf_dm *dm, struct hf_error *err)
{
        if (dm->control >= 0)
                return 0;
        dm->control = open(CONTROL, O_RDWR | O_CLOEXEC);
        if (dm->control < 0)
                return hf_error_sys(err, errno, "cannot open %s", CONTROL);
        return 0;
}

/* 0, -ENOBUFS if the answer has no room, or -errno. */
static int ask(int control, dev_t device, struct dm_ioctl *answer, size_t size)
{
        memset(answer, 0, sizeof(*answer));
        answer->version[0] = VERSION_MAJOR;
        answer->data_size = (uint32_t)size;
        answer->data_start = sizeof(*answer);
        answer->dev = device;
        /* Not to wait for the device to write what it has. */
        answer->flags = DM_NOFLUSH_FLAG;
        if (ioctl(control, DM_TABLE_STATUS, answer) < 0)
                return -errno;
        return answer->flags & DM_BUFFER_FULL_FLAG ? -ENOBUFS : 0;
}

static int describe(const struct dm_ioctl *answer, size_t size, struct hf_stack_node *ret)
{
        int multipath;

        if (answer->data_start > size)
                return -EBADMSG;
        multipath = hf_dm_count_multipath((const char *)answer + answer->data_start,
                                          size - answer->data_start, answer->target_count);
        if (multipath < 0)
                return multipath;
        *ret = (struct hf_stack_node){
                .mapped = true,
                .targets = answer->target_count,
                .multipath = (unsigned int)multipath,
        };
        memcpy(ret->name, answer->name, sizeof(answer->name));
        ret->name[sizeof(ret->name) - 1] = '\0';
        memcpy(ret->uuid, answer->uuid, sizeof(answer->uuid));
        ret->uuid[sizeof(ret->uuid) - 1] = '\0';
        return 0;
}

/* The table as the kernel has it. */
static int look_at_table(struct hf_dm *dm, dev_t device, struct hf_stack_node *ret,
                         struct hf_error *err)
{
        hf_cleanup_free struct dm_ioctl *answer = NULL;
        size_t size = ANSWER_SIZE;
        int rc;

        rc = open_control(dm, err);
        if (rc < 0)
                return rc;
        do {
                free(answer);
                answer = malloc(size);
                if (!answer)
                        return hf_error_sys(err, ENOMEM, "the table of device %u:%u", major(device),
                                            minor(device));
                rc = ask(dm->control, device, answer, size);
                size *= 2;
        } while (rc == -ENOBUFS && size <= ANSWER_SIZE_MAX);
        if (rc == -ENXIO) {
                *ret = (struct hf_stack_node){};
                return 0;
        }
        if (rc == 0)
                rc = describe(answer, size / 2, ret);
        if (rc < 0)
                return hf_error_sys(err, -rc, "cannot read the table of device %u:%u",
                                    major(device), minor(device));
        return 0;
}

/* The first line of a file in the folder dm/ of a device; 0 or -errno. */
static int read_line(dev_t device, const char *file, char *ret, size_t room)
{
        char path[sizeof(SYSFS) + 64];
        hf_cleanup_fd int fd = -1;
        ssize_t n;

        (void)snprintf(path, sizeof(path), SYSFS "/%u:%u/dm/%s", major(device), minor(device),
                       file);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        n = fd < 0 ? -1 : read(fd, ret, room - 1);
        if (n < 0)
                return -errno;
        ret[n] = '\0';
        ret[strcspn(ret, "\n")] = '\0';
        return 0;
}

/*
 * What may be known without the right to ask for tables: multipath-tools' own maps by their uuid.
 * Those that somebody made by hand do not show.
 */
static int look_at_names(dev_t device, struct hf_stack_node *ret, struct hf_error *err)
{
        struct hf_stack_node node = {.mapped = true, .targets = 1};
        int rc;

        rc = read_line(device, "uuid", node.uuid, sizeof(node.uuid));
        if (rc == 0)
                rc = read_line(device, "name", node.name, sizeof(node.name));
        if (rc == -ENOENT) {
                *ret = (struct hf_stack_node){};
                return 0;
        }
        if (rc < 0)
                return hf_error_sys(err, -rc, "cannot read what device %u:%u is called",
                                    major(device), minor(device));
        node.multipath = hf_stack_uuid_is_multipath(node.uuid);
        *ret = node;
        return 0;
}

static int look(void *context, dev_t device, struct hf_stack_node *ret, struct hf_error *err)
{
        int rc = look_at_table(context, device, ret, err);

        if (rc == -EACCES || rc == -EPERM || rc == -ENOENT)
                return look_at_names(device, ret, err);
        return rc;
}

/* "253:0" of the file `dev` of one slave. */
static int read_number(int folder, const char *slave, dev_t *ret)
{
        char path[NAME_MAX + sizeof("/dev")], text[32];
        unsigned int major_number, minor_number;
        hf_cleanup_fd int fd = -1;
        ssize_t n;

        (void)snprintf(path, sizeof(path), "%s/dev", slave);
        fd = openat(folder, path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        n = read(fd, text, sizeof(text) - 1);
        if (n < 0)
                return -errno;
        text[n] = '\0';
        if (sscanf(text, "%u:%u", &major_number, &minor_number) != 2)
                return -EBADMSG;
        *ret = makedev(major_number, minor_number);
        return 0;
}

static int read_slaves(DIR *folder, dev_t *ret, size_t room)
{
        const struct dirent *entry;
        size_t n = 0;

        while ((entry = readdir(folder))) {
                int rc;

                if (entry->d_name[0] == '.')
                        continue;
                if (n == room)
                        return -E2BIG;
                rc = read_number(dirfd(folder), entry->d_name, &ret[n]);
                if (rc < 0)
                        return rc;
                n++;
        }
        return (int)n;
}

static int below(void *context, dev_t device, dev_t *ret, size_t room, struct hf_error *err)
{
        char path[sizeof(SYSFS) + 64];
        hf_cleanup_dir DIR *folder = NULL;
        int n;

        (void)context;
        (void)snprintf(path, sizeof(path), SYSFS "/%u:%u/slaves", major(device), minor(device));
        folder = opendir(path);
        /* A partition has no such folder. */
        if (!folder && errno == ENOENT)
                return 0;
        n = folder ? read_slaves(folder, ret, room) : -errno;
        if (n < 0)
                return hf_error_sys(err, -n, "cannot read %s", path);
        return n;
}

const struct hf_stack_ops hf_dm_ops = {
        .look = look,
        .below = below,
};

int hf_dm_open(dev_t device, struct hf_error *err)
{
        char path[32];
        hf_cleanup_fd int fd = -1;
        struct stat st;

        /* The kernel's own name for it, which is there without udev. */
        (void)snprintf(path, sizeof(path), "/dev/dm-%u", minor(device));
        fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
        if (fd < 0)
                return hf_error_sys(err, errno, "cannot open %s", path);
        if (fstat(fd, &st) < 0)
                return hf_error_sys(err, errno, "cannot look at %s", path);
        if (!S_ISBLK(st.st_mode) || st.st_rdev != device)
                return hf_error_set(err, ENODEV, HF_ERR_OPERATION_DENIED, HF_FROM_NONE,
                                    "%s is not the device %u:%u", path, major(device),
                                    minor(device));
        return hf_steal_fd(&fd);
}
