/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * holdfast-pr-helper: persistent reservations for virtual machines that have no right to ask for
 * them. Stands in for qemu-pr-helper: its options, its socket, its answers.
 */
#include "prhelper/backends.h"
#include "prhelper/identity.h"
#include "prhelper/listen.h"
#include "prhelper/log.h"
#include "prhelper/server.h"

#include "base/cleanup.h"
#include "base/daemonize.h"
#include "base/log.h"
#include "base/pidfile.h"

#include <fcntl.h>
#include <sys/stat.h>

static int fail(const struct hf_error *err)
{
        (void)fprintf(stderr, "holdfast-pr-helper: %s\n", err->text);
        return EXIT_FAILURE;
}

/* A number in the way of a socket or a disk would have messages for people written into it. */
static int fill_standard_descriptors(void)
{
        for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
                if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) < 0)
                        return -errno;
        return 0;
}

/* Whether a backend may be used that needs CAP_SYS_ADMIN. */
static bool needs_admin(const struct hf_pr_settings *settings)
{
        for (unsigned int id = 0; id < HF_PR_BACKENDS; id++) {
                const struct hf_pr_backend *backend = hf_pr_backend_of(id);

                if (hf_pr_settings_allow(settings, backend->name) &&
                    (backend->stage == HF_PR_STAGE_MAPPER || backend->stage == HF_PR_STAGE_NVME))
                        return true;
        }
        return false;
}

static int take_pidfile(const struct hf_pr_arguments *arguments, char path[static HF_PR_PATH_MAX],
                        int *ret_fd, struct hf_error *err)
{
        int r;

        if (!arguments->daemon && !arguments->pidfile)
                return 0;
        r = hf_pr_pidfile(arguments, path, err);
        return r < 0 ? r : hf_pidfile_take(path, getpid(), ret_fd, err);
}

/* Who started us is told that the socket is there, and that nothing more can go wrong. */
static int go_into_background(const struct hf_pr_arguments *arguments, const char *pidfile,
                              int pidfile_fd, struct hf_error *err)
{
        hf_cleanup_fd int report = -1;

        if (!arguments->daemon)
                return 0;
        report = hf_daemonize();
        if (report < 0)
                return hf_error_sys(err, -report, "cannot go into the background");
        (void)hf_pidfile_rewrite(pidfile, pidfile_fd, getpid());
        hf_daemonize_report(report, EXIT_SUCCESS);
        return 0;
}

/* What can fail fails here, while stderr is there to say so. */
static int prepare(const struct hf_pr_arguments *arguments, struct hf_pr_server *server,
                   char path[static HF_PR_PATH_MAX], char pidfile[static HF_PR_PATH_MAX],
                   struct hf_error *err)
{
        const struct hf_pr_settings *settings = server->settings;
        struct stat st;
        uid_t uid;
        gid_t gid;
        int r = hf_pr_identity(arguments->user, arguments->group, &uid, &gid, err);

        /* Nobody else has to know it, and a host without an id can have a helper too. */
        if (r >= 0 && settings->n_units > 0)
                r = hf_pr_host_name(settings->host, server->host, sizeof(server->host), err);
        if (r >= 0)
                r = hf_pr_server_init(server, err);
        if (r >= 0)
                r = take_pidfile(arguments, pidfile, &server->pidfile, err);
        if (r >= 0)
                r = hf_pr_listen(arguments, settings, path, &server->listener, err);
        if (r < 0)
                return r;
        server->socket = *path ? path : NULL;
        if (server->socket && lstat(path, &st) == 0) {
                server->socket_device = st.st_dev;
                server->socket_inode = st.st_ino;
        }
        r = hf_pr_stage_enter(HF_PR_STAGE_SERVE, uid, gid, needs_admin(settings), err);
        if (r >= 0)
                r = go_into_background(arguments, pidfile, server->pidfile, err);
        if (r < 0 && server->socket)
                (void)unlink(server->socket);
        return r;
}

static int serve(const struct hf_pr_arguments *arguments, const struct hf_pr_settings *settings,
                 struct hf_error *err)
{
        struct hf_pr_server server = {.settings = settings,
                                      .vm = arguments->vm,
                                      .listener = -1,
                                      .signals = -1,
                                      .pidfile = -1};
        char path[HF_PR_PATH_MAX], pidfile[HF_PR_PATH_MAX];
        int r = prepare(arguments, &server, path, pidfile, err);

        if (r >= 0)
                r = hf_pr_server_run(&server, err);
        hf_pidfile_drop(pidfile, server.pidfile);
        return r;
}

int main(int argc, char **argv)
{
        struct hf_pr_arguments arguments = {0};
        struct hf_pr_settings settings;
        struct hf_error error = {0};
        int r;

        if (fill_standard_descriptors() < 0)
                return EXIT_FAILURE;
        hf_log_init("holdfast-pr-helper");
        r = hf_pr_options_read(argc, argv, &arguments, &error);
        if (r <= 0)
                return r < 0 ? fail(&error) : EXIT_SUCCESS;
        if (hf_pr_settings_load(arguments.config, &settings, &error) < 0)
                return fail(&error);
        r = hf_pr_log_apply(&arguments, &settings, &error);
        if (r >= 0)
                r = serve(&arguments, &settings, &error);
        hf_pr_settings_clear(&settings);
        hf_log_close();
        return r < 0 ? fail(&error) : EXIT_SUCCESS;
}
