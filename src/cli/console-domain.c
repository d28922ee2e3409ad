/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/console-domain.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/path.h"
#include "base/program.h"

#include <string.h>

/* libvirt answers at once, or its daemon hangs. */
#define DEADLINE_NSEC 10000000000U

/* The largest descriptions of domains with hundreds of devices are below that. */
#define XML_MAX (4U << 20)

struct libvirt {
        const char *uri;
        const char *dir; /* of its sockets */
};

/* Whether a daemon of libvirt serves there: the one of old, or the one for QEMU alone. */
static bool serves(const char *dir)
{
        static const char *const names[] = {"libvirt-sock", "virtqemud-sock"};
        hf_cleanup_free char *path = NULL;

        for (size_t i = 0; i < HF_ARRAY_LEN(names); i++) {
                free(path);
                if (asprintf(&path, "%s/%s", dir, names[i]) < 0) {
                        path = NULL;
                        return false;
                }
                if (access(path, F_OK) == 0)
                        return true;
        }
        return false;
}

/* 1: *ret is the domain's description; 0: this libvirt does not know it. */
static int describe(const struct libvirt *libvirt, const char *virsh, const char *name, char **ret,
                    struct hf_error *err)
{
        const char *const argv[] = {"virsh",   "-q",       "-r", "-c", libvirt->uri,
                                    "dumpxml", "--domain", name, NULL};
        hf_cleanup_free char *text = NULL;
        int status, r;

        r = hf_program_read(virsh, argv, hf_clock_nsec(CLOCK_MONOTONIC) + DEADLINE_NSEC, XML_MAX,
                            &text, &status, err);
        if (r < 0) {
                hf_error_prefix(err, "asking libvirt (%s) for domain %s", libvirt->uri, name);
                return r;
        }
        if (status != 0)
                return 0;
        *ret = hf_steal_ptr(text);
        return 1;
}

static int not_known(const char *name, struct hf_error *err)
{
        return hf_error_set(err, ESRCH, HF_ERR_INVALID_ARG, HF_FROM_NONE,
                            "no VM %s is known here, neither to holdfast-consoled nor to libvirt",
                            name);
}

int hf_domain_console_find(const char *name, const char *device, struct hf_domain_console *ret,
                           struct hf_error *err)
{
        hf_cleanup_paths struct hf_paths paths = {0};
        char virsh[PATH_MAX];
        struct libvirt places[2];
        size_t n = 0;
        int r = hf_paths_init(&paths, err);

        if (r < 0)
                return r;
        if (!*name || hf_program_find("virsh", virsh) < 0)
                return not_known(name, err);
        if (!paths.privileged)
                places[n++] = (struct libvirt){"qemu:///session", paths.libvirt_run_dir};
        places[n++] = (struct libvirt){"qemu:///system", HF_RUNSTATEDIR "/libvirt"};
        for (size_t i = 0; i < n; i++) {
                hf_cleanup_free char *text = NULL;

                if (!serves(places[i].dir))
                        continue;
                r = describe(&places[i], virsh, name, &text, err);
                if (r != 0)
                        return r < 0 ? r
                                     : hf_domain_console_parse(text, strlen(text), device, ret,
                                                               err);
        }
        return not_known(name, err);
}
