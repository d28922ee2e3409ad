/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What virtlockd.service starts next time: a drop-in makes it holdfastd. libvirtd goes on to
 * require virtlockd.socket, which stays as it is.
 */
#include "cli/adopt.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/program.h"

#include <fcntl.h>
#include <string.h>

/* systemd reads all units anew, or ends a service, on a machine that may be busy. */
#define SYSTEMCTL_NSEC (UINT64_C(120) * 1000000000)

/* More than a drop-in of ours has. */
#define DROP_IN_MAX 16384

enum hf_adopt_service hf_adopt_service(void)
{
        /* As sd_booted(3) knows it. */
        if (access("/run/systemd/system", F_OK) < 0)
                return HF_ADOPT_SERVICE_NONE;
        return access(HF_ADOPT_DROP_IN, F_OK) < 0 ? HF_ADOPT_SERVICE_STOCK : HF_ADOPT_SERVICE_OURS;
}

int hf_adopt_drop_in_source(char ret[static PATH_MAX])
{
        const char *dir = secure_getenv("HOLDFAST_DATA_DIR");
        int n = snprintf(ret, PATH_MAX, "%s/systemd/virtlockd.service.d/holdfast.conf",
                         dir && dir[0] == '/' ? dir : HF_DATADIR "/holdfast");

        return n < 0 || n >= PATH_MAX ? -ENAMETOOLONG : 0;
}

/* Runs systemctl with words (closed by NULL); its exit status is in *ret_status. */
static int systemctl(const char *const *argv, int *ret_status, struct hf_error *err)
{
        struct hf_program_result result;
        char path[PATH_MAX];
        int r = hf_program_find("systemctl", path);

        if (r < 0)
                return hf_error_sys(err, -r, "systemctl");
        r = hf_program_run(path, argv, hf_clock_nsec(CLOCK_MONOTONIC) + SYSTEMCTL_NSEC, &result,
                           err);
        if (r < 0) {
                hf_error_prefix(err, "systemctl %s", argv[1]);
                return r;
        }
        *ret_status = result.status;
        return 0;
}

static int must_systemctl(const char *const *argv, struct hf_error *err)
{
        int status, r = systemctl(argv, &status, err);

        if (r >= 0 && status != 0)
                r = hf_error_set(err, EIO, HF_ERR_INTERNAL, HF_FROM_NONE,
                                 "systemctl %s has failed (exit status %d)", argv[1], status);
        return r;
}

static int daemon_reload(struct hf_error *err)
{
        static const char *const argv[] = {"systemctl", "daemon-reload", NULL};

        return must_systemctl(argv, err);
}

/* ---- our own sockets -------------------------------------------------------------------- */

static void note_owner(void *data, pid_t pid, uint64_t inode)
{
        pid_t *owner = data;

        (void)inode;
        if (*owner <= 1)
                *owner = pid;
}

pid_t hf_adopt_own_server(const struct hf_paths *paths)
{
        hf_cleanup_free struct hf_adopt_socket *sockets = NULL;
        pid_t owner = 0;
        size_t n = 0;

        if (hf_adopt_sockets(paths->socket, &sockets, &n, NULL) < 0)
                return 0;
        for (size_t i = 0; i < n; i++)
                if (sockets[i].listens)
                        (void)hf_adopt_each_socket(&sockets[i].inode, 1, note_owner, &owner);
        return owner;
}

int hf_adopt_own_stop(struct hf_error *err)
{
        static const char *const argv[] = {"systemctl",           "stop",
                                           "holdfastd.service",   "holdfastd.socket",
                                           "holdfastd-ro.socket", NULL};

        return must_systemctl(argv, err);
}

/* ---- the drop-in ------------------------------------------------------------------------ */

/* A copy: a link would lead nowhere when the package is removed, and systemd would not say so. */
static int copy_drop_in(const char *source, struct hf_error *err)
{
        hf_cleanup_fd int from = open(source, O_RDONLY | O_CLOEXEC), to = -1;
        char text[DROP_IN_MAX];
        ssize_t n = from < 0 ? -1 : read(from, text, sizeof(text));

        if (n < 0)
                return hf_error_sys(err, errno, "%s", source);
        to = open(HF_ADOPT_DROP_IN ".new", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
        if (to < 0 || write(to, text, (size_t)n) != n || fchmod(to, 0644) < 0 || fsync(to) < 0 ||
            rename(HF_ADOPT_DROP_IN ".new", HF_ADOPT_DROP_IN) < 0)
                return hf_error_sys(err, errno, "cannot write %s", HF_ADOPT_DROP_IN);
        return 0;
}

int hf_adopt_service_install(struct hf_error *err)
{
        char source[PATH_MAX], folder[] = HF_ADOPT_DROP_IN;
        int r;

        if (hf_adopt_service() != HF_ADOPT_SERVICE_STOCK)
                return 0;
        *strrchr(folder, '/') = '\0';
        r = hf_adopt_drop_in_source(source);
        if (r >= 0)
                r = hf_path_make_dirs(folder, 0755, err);
        if (r >= 0)
                r = copy_drop_in(source, err);
        return r < 0 ? r : daemon_reload(err);
}

int hf_adopt_service_remove(struct hf_error *err)
{
        char folder[] = HF_ADOPT_DROP_IN;

        if (hf_adopt_service() != HF_ADOPT_SERVICE_OURS)
                return 0;
        if (unlink(HF_ADOPT_DROP_IN) < 0)
                return hf_error_sys(err, errno, "cannot remove %s", HF_ADOPT_DROP_IN);
        /* It stays where the administrator has another one in it. */
        *strrchr(folder, '/') = '\0';
        (void)rmdir(folder);
        return daemon_reload(err);
}

/* Where they are enabled they were there before, or would be after the next boot. */
int hf_adopt_own_start(struct hf_error *err)
{
        static const char *const ask[] = {"systemctl", "is-enabled", "--quiet", "holdfastd.socket",
                                          NULL};
        static const char *const start[] = {"systemctl", "start", "holdfastd.socket",
                                            "holdfastd-ro.socket", NULL};
        int status, r = systemctl(ask, &status, err);

        return r < 0 || status != 0 ? r : must_systemctl(start, err);
}

bool hf_adopt_is_managed(const struct hf_adopt_daemon *daemon)
{
        hf_cleanup_free char *cgroup = NULL;

        return hf_adopt_service() != HF_ADOPT_SERVICE_NONE &&
               hf_adopt_proc_text(daemon, "cgroup", &cgroup, NULL) >= 0 &&
               strstr(cgroup, "/virtlockd.service\n") != NULL;
}
