/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "prhelper/device/mpath-lib.h"

#include "base/cleanup.h"

#include <dlfcn.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

/* In the abstract namespace, which belongs to the network namespace. */
#define DAEMON "/org/kernel/linux/storage/multipathd"

/* dlsym gives no pointer to a function; this is how POSIX has it turned into one. */
static void find(void *library, const char *name, void *ret)
{
        void *symbol = dlsym(library, name);

        memcpy(ret, &symbol, sizeof(symbol));
}

int hf_mpath_lib_load(const char *file, struct hf_mpath_lib *ret, struct hf_error *err)
{
        struct hf_mpath_lib lib;
        int (*init)(void);
        void *library;

        /* NOW: a symbol that is missing must not end the process at the first command. */
        library = dlopen(file, RTLD_NOW | RTLD_LOCAL);
        if (!library)
                return hf_error_set(err, ENOENT, HF_ERR_CONFIG_UNSUPPORTED, HF_FROM_NONE,
                                    "multipath-tools' library cannot be loaded (%s): install "
                                    "multipath-tools 0.8.6 or newer",
                                    dlerror());
        find(library, "libmpathpersist_init", &init);
        find(library, "mpath_persistent_reserve_in", &lib.in);
        find(library, "mpath_persistent_reserve_out", &lib.out);
        find(library, "mpath_connect", &lib.connect);
        if (!init || !lib.in || !lib.out)
                return hf_error_set(err, EPROTO, HF_ERR_CONFIG_UNSUPPORTED, HF_FROM_NONE,
                                    "multipath-tools' library %s is from before version 0.8.6, "
                                    "which cannot be used: install a newer one",
                                    file);
        if (init() != 0)
                return hf_error_set(err, EIO, HF_ERR_CONFIG_UNSUPPORTED, HF_FROM_NONE,
                                    "multipath-tools' library does not start: look at what "
                                    "`multipath -t` says of multipath.conf");
        *ret = lib;
        return 0;
}

/* For a library that does not export how it does this itself. */
static int connect_plainly(void)
{
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        hf_cleanup_fd int fd = -1;

        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0)
                return -1;
        memcpy(address.sun_path + 1, DAEMON, strlen(DAEMON));
        if (connect(fd, (struct sockaddr *)&address,
                    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(DAEMON))) < 0)
                return -1;
        return hf_steal_fd(&fd);
}

int hf_mpath_lib_daemon(const struct hf_mpath_lib *lib, struct hf_error *err)
{
        hf_cleanup_fd int fd = -1;

        errno = 0;
        fd = lib->connect ? lib->connect() : connect_plainly();
        if (fd < 0)
                return hf_error_sys(err, errno ? errno : ECONNREFUSED,
                                    "multipathd does not answer (it has to run, in the network "
                                    "namespace of this helper)");
        return 0;
}
