/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "client/console.h"

#include "base/cleanup.h"
#include "base/path.h"
#include "client/daemon-start.h"

#include <errno.h>

#define WHAT "console daemon"

const char *hf_console_via(const char *via)
{
        return via && *via ? via : program_invocation_short_name;
}

static const char *console_socket(const struct hf_paths *paths)
{
        return paths->console_socket;
}

static int start_daemon(struct holdfast_error *err)
{
        static const struct hf_spawn daemon = {
                .what = WHAT,
                .name = "holdfast-consoled",
                .variable = "HOLDFAST_CONSOLED",
                .program = HF_SBINDIR "/holdfast-consoled",
                .socket = console_socket,
        };

        return hf_spawn_if_needed(&daemon, err);
}

int hf_console_reach(struct hf_query *query, const char *via, bool start,
                     struct holdfast_error *err)
{
        hf_cleanup_paths struct hf_paths paths = {0};
        struct hf_query_place place = {.what = WHAT, .via = hf_console_via(via)};
        struct holdfast_error nobody = {0};
        struct hf_error error = {0};
        int r = hf_paths_init(&paths, &error);

        if (r < 0)
                return hf_fail_from(err, r, &error);
        place.socket = paths.console_socket;
        place.socket_ro = paths.console_socket_ro;
        r = hf_query_open_place(query, &place, &nobody);
        if (r < 0 && nobody.code == HOLDFAST_E_NO_DAEMON && start) {
                r = start_daemon(err);
                if (r < 0)
                        return r;
                r = hf_query_open_place(query, &place, &nobody);
        }
        if (r < 0 && err)
                *err = nobody;
        return r;
}

bool hf_console_reach_system(struct hf_query *query, const char *via, bool read_only)
{
        const char *writable = HF_RUNSTATEDIR "/holdfast/console-sock";
        const char *readable = HF_RUNSTATEDIR "/holdfast/console-sock-ro";
        const struct hf_query_place place = {
                .what = WHAT,
                .via = hf_console_via(via),
                .socket = read_only ? readable : writable,
                .socket_ro = readable,
        };

        /* Root's own daemon is the system's; HOLDFAST_RUN_DIR moves everything elsewhere. */
        if (geteuid() == 0 || secure_getenv("HOLDFAST_RUN_DIR"))
                return false;
        return hf_query_open_place(query, &place, NULL) >= 0;
}

int hf_console_reach_again(struct hf_query *query, const struct hf_query *like, const char *via,
                           struct holdfast_error *err)
{
        const struct hf_query_place place = {
                .what = WHAT,
                .via = hf_console_via(via),
                .socket = like->caller.path,
                .socket_ro = like->caller.path,
        };

        return hf_query_open_place(query, &place, err);
}
