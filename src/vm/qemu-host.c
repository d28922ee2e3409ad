/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What a command line refers to on this machine; the part of the reader that is not pure.
 */

#include "base/cleanup.h"
#include "vm/image-chain.h"
#include "vm/qemu-cmdline.h"
#include "vm/qemu-config.h"

#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

/* Not more than once: what a pipe has given to us, QEMU would not get. */
static int open_config(const char *path, struct hf_error *err)
{
        struct stat st;
        int fd;

        if (stat(path, &st) < 0)
                return hf_error_sys(err, errno, "cannot open %s", path);
        if (!S_ISREG(st.st_mode))
                return hf_error_set(err, EINVAL, HF_ERR_INVALID_ARG, HF_FROM_LOCKING,
                                    "%s is no regular file, so it cannot be read twice", path);
        fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
        if (fd < 0)
                return hf_error_sys(err, errno, "cannot open %s", path);
        return fd;
}

static int read_config(const char *path, char **ret_text, struct hf_error *err)
{
        hf_cleanup_free char *text = malloc(HF_QEMU_CONFIG_MAX + 1);
        hf_cleanup_fd int fd = -1;
        size_t len = 0;
        ssize_t n;

        if (!text)
                return hf_error_sys(err, ENOMEM, "cannot read %s", path);
        fd = open_config(path, err);
        if (fd < 0)
                return fd;
        do {
                n = read(fd, text + len, HF_QEMU_CONFIG_MAX + 1 - len);
                if (n > 0)
                        len += (size_t)n;
        } while (len <= HF_QEMU_CONFIG_MAX && (n > 0 || (n < 0 && errno == EINTR)));
        if (n < 0)
                return hf_error_sys(err, errno, "cannot read %s", path);
        if (len > HF_QEMU_CONFIG_MAX)
                return hf_error_set(err, E2BIG, HF_ERR_INVALID_ARG, HF_FROM_LOCKING,
                                    "%s is larger than %d bytes", path, HF_QEMU_CONFIG_MAX);
        text[len] = '\0';
        *ret_text = hf_steal_ptr(text);
        return 0;
}

static int fd_path(int fd, char **ret_path, struct hf_error *err)
{
        char link[32], path[PATH_MAX];
        ssize_t n;

        (void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
        n = readlink(link, path, sizeof(path) - 1);
        if (n < 0)
                return hf_error_sys(err, errno, "descriptor %d", fd);
        path[n] = '\0';
        if (path[0] != '/')
                return 0;
        *ret_path = strdup(path);
        return *ret_path ? 1 : hf_error_sys(err, ENOMEM, "descriptor %d", fd);
}

static const struct hf_qemu_host this_machine = {
        .read_config = read_config,
        .fd_path = fd_path,
};

int hf_qemu_read(const char *const *argv, const struct hf_qemu_options *options,
                 struct hf_vm_spec *spec, struct hf_error *err)
{
        hf_cleanup(hf_vm_spec_free) struct hf_vm_spec found = {0};
        int r;

        r = hf_qemu_parse(argv, &this_machine, &found, err);
        if (r < 0)
                return r;
        if (!options || !options->no_backing) {
                r = hf_image_chain_add(&found, err);
                if (r < 0)
                        return r;
        }
        return hf_vm_spec_merge(spec, &found, err);
}
