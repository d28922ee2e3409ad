/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Security contexts of SELinux. libselinux is loaded when the first label of this kind is met: all
 * who have none of these do without it, at build time and at start.
 */

#include "label/kind.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#ifdef HAVE_SELINUX

#include "base/cleanup.h"

#include <dlfcn.h>
#include <selinux/selinux.h>

#define LIBRARY "libselinux.so.1"

static struct {
        void *library;
        __typeof__(&is_selinux_enabled) enabled;
        __typeof__(&security_canonicalize_context_raw) canonicalize;
        __typeof__(&getfilecon_raw) get;
        __typeof__(&setfilecon_raw) set;
        __typeof__(&freecon) free;
} selinux;

static int load(void)
{
        const struct {
                void *function;
                const char *name;
        } wanted[] = {
                {&selinux.enabled, "is_selinux_enabled"},
                {&selinux.canonicalize, "security_canonicalize_context_raw"},
                {&selinux.get, "getfilecon_raw"},
                {&selinux.set, "setfilecon_raw"},
                {&selinux.free, "freecon"},
        };

        if (selinux.library)
                return 0;
        /* Stays loaded: it keeps state of its own in the process. */
        selinux.library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
        if (!selinux.library)
                return -ENOTSUP;
        for (size_t i = 0; i < HF_ARRAY_LEN(wanted); i++) {
                void *symbol = dlsym(selinux.library, wanted[i].name);

                if (!symbol) {
                        (void)dlclose(hf_steal_ptr(selinux.library));
                        return -ENOTSUP;
                }
                memcpy(wanted[i].function, &symbol, sizeof(symbol));
        }
        return 0;
}

/* These calls want a path, and a descriptor of O_PATH has one. */
static void path_of(int fd, char ret[static 32])
{
        (void)snprintf(ret, 32, "/proc/self/fd/%d", fd);
}

static int keep(char *context, char ret[static HF_LABEL_TEXT_MAX])
{
        size_t len = strlen(context);
        int r = len && len < HF_LABEL_TEXT_MAX ? 0 : -E2BIG;

        if (r == 0)
                memcpy(ret, context, len + 1);
        selinux.free(context);
        return r;
}

static int take(const char *given, char ret[static HF_LABEL_TEXT_MAX], struct hf_error *err)
{
        char *context = NULL;

        if (load() < 0)
                return hf_error_set(err, ENOTSUP, HF_ERR_CONFIG_UNSUPPORTED, HF_FROM_NONE,
                                    "security contexts need %s, which is not here", LIBRARY);
        if (selinux.enabled() != 1)
                return hf_error_set(err, ENOTSUP, HF_ERR_CONFIG_UNSUPPORTED, HF_FROM_NONE,
                                    "SELinux is not enabled on this host: \"%s\" would protect "
                                    "nothing",
                                    given);
        if (selinux.canonicalize(given, &context) < 0 || keep(context, ret) < 0)
                return hf_error_set(err, EINVAL, HF_ERR_INVALID_ARG, HF_FROM_NONE,
                                    "\"%s\" is no security context of this host's policy", given);
        return 0;
}

static int read_context(int fd, char ret[static HF_LABEL_TEXT_MAX])
{
        char *context = NULL, path[32];
        int r = load();

        if (r < 0)
                return r;
        path_of(fd, path);
        return selinux.get(path, &context) < 0 ? -errno : keep(context, ret);
}

static int write_context(int fd, const char *label)
{
        char path[32];
        int r = load();

        if (r < 0)
                return r;
        path_of(fd, path);
        return selinux.set(path, label) < 0 ? -errno : 0;
}

#else

static int take(const char *given, char ret[static HF_LABEL_TEXT_MAX], struct hf_error *err)
{
        (void)ret;
        return hf_error_set(err, ENOTSUP, HF_ERR_CONFIG_UNSUPPORTED, HF_FROM_NONE,
                            "\"%s\": holdfast was built without libselinux", given);
}

static int read_context(int fd, char ret[static HF_LABEL_TEXT_MAX])
{
        (void)fd;
        (void)ret;
        return -ENOTSUP;
}

static int write_context(int fd, const char *label)
{
        (void)fd;
        (void)label;
        return -ENOTSUP;
}

#endif

const struct hf_label_kind hf_label_selinux = {
        .name = "selinux",
        .noun = "security context",
        .take = take,
        .read = read_context,
        .write = write_context,
};
