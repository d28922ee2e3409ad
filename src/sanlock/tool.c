/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sanlock/tool.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "cli/message.h"
#include "driver/error.h"
#include "driver/sanlock/session.h"

#include <string.h>

/* A daemon answers at once what does not concern its disks. */
#define ANSWER_NS (4 * 1000000000ULL)

static void tell_notice(void *ctx, const char *text)
{
        (void)ctx;
        hf_message("warning: %s", text);
}

int hf_tool_fail(const struct hf_lock_error *err)
{
        const struct holdfast_error error = {.code = err->code, .sys = err->sys};

        hf_message("%s", err->text);
        return hf_message_status(&error);
}

int hf_tool_fail_as(int r, const struct hf_error *error)
{
        struct hf_lock_error err = {.size = sizeof(err)};

        (void)hf_driver_fail(&err, r, error);
        return hf_tool_fail(&err);
}

int hf_tool_no_arguments(const struct hf_options *options)
{
        hf_message("%s takes no arguments; see '%s --help'", options->program, options->program);
        return HF_EXIT_USAGE;
}

bool hf_tool_has_daemon(void)
{
        hf_cleanup_session struct hf_sanlock_session session = HF_SANLOCK_SESSION_INIT;
        struct hf_lock_error err = {.size = sizeof(err)};
        int r = hf_sanlock_session_open(&session, hf_clock_nsec(CLOCK_MONOTONIC) + ANSWER_NS, &err);

        if (r >= 0)
                r = hf_sanlock_session_ask(&session, &err);
        if (r < 0)
                hf_message("%s", err.text);
        return r >= 0;
}

/* The one that was named, or that of disks. */
static int choose(const struct hf_tool_options *given, struct hf_tool *tool,
                  struct hf_lock_error *err)
{
        struct hf_sanlock_lockspace *lockspace = &tool->lockspace;
        struct hf_error error = {0};
        int r;

        if (!given->lockspace) {
                r = hf_sanlock_lockspace_of_disks(&tool->settings, lockspace, err);
                if (r < 0)
                        return r;
        } else {
                if (strlen(given->lockspace) > SANLK_NAME_LEN || strchr(given->lockspace, ':'))
                        return hf_driver_refuse(err, EINVAL, HF_LOCK_E_INVALID,
                                                "a lockspace has a name of up to %d bytes, without "
                                                "colons",
                                                SANLK_NAME_LEN);
                r = given->path ? hf_sanlock_check_path("--path", given->path, &error) : 0;
                if (r < 0)
                        return hf_driver_fail(err, r, &error);
                *lockspace = (struct hf_sanlock_lockspace){
                        .path = strdup(given->path ? given->path : ""),
                        .offset = (uint64_t)given->offset,
                        .host_id = tool->settings.host_id,
                        .io_timeout = tool->settings.io_timeout,
                };
                if (!lockspace->path)
                        return hf_driver_no_memory(err);
                (void)snprintf(lockspace->name, sizeof(lockspace->name), "%s", given->lockspace);
        }
        if (given->host_id)
                lockspace->host_id = (unsigned int)given->host_id;
        if (given->io_timeout)
                lockspace->io_timeout = (unsigned int)given->io_timeout;
        return 0;
}

static int load(const struct hf_tool_options *given, struct hf_tool *tool,
                struct hf_lock_error *err)
{
        struct hf_error error = {0};
        int r = hf_paths_init(&tool->paths, &error);

        if (r >= 0)
                r = hf_sanlock_settings_load(&tool->paths, given->config, tell_notice, NULL,
                                             &tool->settings, &error);
        if (r >= 0)
                return choose(given, tool, err);
        r = hf_driver_fail(err, r, &error);
        err->code = HF_LOCK_E_CONFIG;
        return r;
}

int hf_tool_begin(const struct hf_options *options, int argc, char **argv,
                  struct hf_tool_options *given, struct hf_tool *ret, int *ret_first,
                  int *ret_status)
{
        struct hf_lock_error err = {.size = sizeof(err)};

        if (hf_verb_options(options, argc, argv, given, &given->standard, ret_first, ret_status) <
            0)
                return -ECANCELED;
        if (!given->lockspace && given->path) {
                hf_message("--path needs --lockspace; see '%s --help'", options->program);
                *ret_status = HF_EXIT_USAGE;
                return -EINVAL;
        }
        if (load(given, ret, &err) < 0) {
                *ret_status = hf_tool_fail(&err);
                return -EINVAL;
        }
        return 0;
}

void hf_tool_done(struct hf_tool *tool)
{
        hf_sanlock_lockspace_clear(&tool->lockspace);
        hf_sanlock_settings_clear(&tool->settings);
        hf_paths_clear(&tool->paths);
}
