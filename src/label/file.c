/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "label/file.h"

#include "base/cleanup.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>

/*
 * A handle of FUSE is the number that the kernel happens to have for a file until it forgets it:
 * the same file can have another one tomorrow.
 */
static bool has_lasting_handles(int fd)
{
        struct statfs fs;

        return fstatfs(fd, &fs) == 0 && fs.f_type != FUSE_SUPER_MAGIC;
}

static void read_handle(int fd, struct hf_label_file *file)
{
        union {
                struct file_handle handle;
                uint8_t room[sizeof(struct file_handle) + MAX_HANDLE_SZ];
        } got = {.handle.handle_bytes = MAX_HANDLE_SZ};
        uint32_t type;
        int mount;

        if (!has_lasting_handles(fd) ||
            name_to_handle_at(fd, "", &got.handle, &mount, AT_EMPTY_PATH) < 0)
                return;
        type = (uint32_t)got.handle.handle_type;
        memcpy(file->handle, &type, sizeof(type));
        memcpy(file->handle + sizeof(type), got.handle.f_handle, got.handle.handle_bytes);
        file->n_handle = sizeof(type) + got.handle.handle_bytes;
}

int hf_label_file_of(int fd, struct hf_label_file *ret, struct hf_error *err)
{
        struct hf_label_file file = {0};
        struct statx st;

        if (statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS | STATX_BTIME, &st) < 0)
                return hf_error_sys(err, errno, "cannot look at a file");
        file.ino = st.stx_ino;
        file.dev = makedev(st.stx_dev_major, st.stx_dev_minor);
        file.mode = st.stx_mode;
        if (st.stx_mask & STATX_BTIME)
                file.birth = (uint64_t)st.stx_btime.tv_sec * 1000000000 + st.stx_btime.tv_nsec;
        read_handle(fd, &file);
        *ret = file;
        return 0;
}

bool hf_label_file_same(const struct hf_label_file *a, const struct hf_label_file *b)
{
        if (a->ino != b->ino)
                return false;
        if (a->birth && b->birth && a->birth != b->birth)
                return false;
        return !a->n_handle || !b->n_handle ||
               (a->n_handle == b->n_handle && !memcmp(a->handle, b->handle, a->n_handle));
}

/* FNV-1a. */
static uint32_t mix(uint32_t hash, const void *data, size_t len)
{
        const uint8_t *at = data;

        for (size_t i = 0; i < len; i++)
                hash = (hash ^ at[i]) * 16777619U;
        return hash;
}

uint32_t hf_label_file_hash(const struct hf_label_file *file)
{
        uint32_t hash = mix(2166136261U, &file->birth, sizeof(file->birth));

        return mix(hash, file->handle, file->n_handle);
}
