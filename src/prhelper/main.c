/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * holdfast-pr-helper: persistent reservations for virtual machines that have no right to ask for
 * them. Stands in for qemu-pr-helper: its options, its socket, its answers.
 */
#include "prhelper/listen.h"
#include "prhelper/options.h"
#include "prhelper/server.h"
#include "prhelper/stage.h"

#include "base/cleanup.h"
#include "base/log.h"

#include <fcntl.h>
#include <string.h>

static int fail(const struct hf_error *err)
{
        (void)fprintf(stderr, "holdfast-pr-helper: %s\n", err->text);
        return EXIT_FAILURE;
}

static int serve(const struct hf_pr_arguments *arguments, const struct hf_pr_settings *settings,
                 struct hf_error *err)
{
        struct hf_pr_server server = {
                .settings = settings, .vm = arguments->vm, .listener = -1, .signals = -1};
        char path[HF_PR_PATH_MAX];
        int r;

        r = hf_pr_server_init(&server, err);
        if (r >= 0)
                r = hf_pr_listen(arguments, settings, path, &server.listener, err);
        if (r < 0)
                return r;
        server.socket = *path ? path : NULL;
        (void)snprintf(server.host, sizeof(server.host), "%s",
                       settings->host ? settings->host : "?");
        r = hf_pr_stage_enter(HF_PR_STAGE_SERVE, (uid_t)-1, (gid_t)-1, true, err);
        return r < 0 ? r : hf_pr_server_run(&server, err);
}

int main(int argc, char **argv)
{
        struct hf_pr_arguments arguments = {0};
        struct hf_pr_settings settings;
        struct hf_error error = {0};
        int r;

        hf_log_init("holdfast-pr-helper");
        r = hf_pr_options_read(argc, argv, &arguments, &error);
        if (r <= 0)
                return r < 0 ? fail(&error) : EXIT_SUCCESS;
        if (hf_pr_settings_load(arguments.config, &settings, &error) < 0)
                return fail(&error);
        r = serve(&arguments, &settings, &error);
        hf_pr_settings_clear(&settings);
        hf_log_close();
        return r < 0 ? fail(&error) : EXIT_SUCCESS;
}
