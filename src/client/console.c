/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Attaching to a console, and what is known of it from then on. */

#include "client/console.h"

#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>

/* Taking a device from another program may take the daemon a while. */
#define ATTACH_TIMEOUT_MS 30000

#define FLAGS_KNOWN                                                                                \
        (HOLDFAST_CONSOLE_WATCH | HOLDFAST_CONSOLE_FORCE | HOLDFAST_CONSOLE_KEEP |                 \
         HOLDFAST_CONSOLE_ONLY_HELD)

_Static_assert(HOLDFAST_CONSOLE_WATCH == HF_CONSOLE_ATTACH_WATCH &&
                       HOLDFAST_CONSOLE_FORCE == HF_CONSOLE_ATTACH_FORCE &&
                       HOLDFAST_CONSOLE_KEEP == HF_CONSOLE_ATTACH_KEEP &&
                       HOLDFAST_CONSOLE_ONLY_HELD == HF_CONSOLE_ATTACH_ONLY_HELD,
               "public flags and those on the wire have the same numbers");

HF_PUBLIC void holdfast_console_free(struct holdfast_console *console)
{
        if (!console)
                return;
        hf_console_view_clear(&console->view);
        hf_rpc_free((xdrproc_t)xdr_hf_console_attach_ret, &console->answer);
        hf_rpc_free((xdrproc_t)xdr_hf_console_notice, &console->notice);
        hf_stream_done(&console->notices);
        hf_query_done(&console->query);
        hf_query_done(&console->calls);
        hf_close_fd(&console->fd);
        free(console->via);
        free(console);
}

static void console_freep(struct holdfast_console **console)
{
        holdfast_console_free(*console);
}

HF_PUBLIC const struct holdfast_console_info *holdfast_console_info(
        const struct holdfast_console *console)
{
        return &console->view.info;
}

HF_PUBLIC int holdfast_console_fd(const struct holdfast_console *console)
{
        return console->fd;
}

HF_PUBLIC int holdfast_console_notice_fd(const struct holdfast_console *console)
{
        return console->query.caller.fd;
}

HF_PUBLIC uint64_t holdfast_console_position(const struct holdfast_console *console)
{
        return console->answer.position;
}

HF_PUBLIC uint64_t holdfast_console_live(const struct holdfast_console *console)
{
        return console->answer.live;
}

HF_PUBLIC uint64_t holdfast_console_time(const struct holdfast_console *console, uint64_t position)
{
        const struct hf_console_mark *marks = console->answer.marks.marks_val;
        size_t low = 0, high = console->answer.marks.marks_len;

        /* The last mark that is not behind the position. */
        while (low < high) {
                size_t middle = low + (high - low) / 2;

                if (marks[middle].position <= position)
                        low = middle + 1;
                else
                        high = middle;
        }
        return low ? marks[low - 1].time : 0;
}

static int check_params(const struct holdfast_console_params *params, struct holdfast_error *err)
{
        bool vm = params->vm && *params->vm, path = params->path && *params->path;

        if (!HF_HAS(params, from))
                return hf_fail(err, EINVAL, HOLDFAST_E_INVALID,
                               "struct holdfast_console_params was not initialised (size %zu)",
                               params->size);
        if (!vm && !path)
                return hf_fail(err, EINVAL, HOLDFAST_E_INVALID,
                               "which console? By a VM's name, or a path");
        if (params->flags & ~FLAGS_KNOWN)
                return hf_fail(err, EINVAL, HOLDFAST_E_INVALID, "unknown flags 0x%x",
                               params->flags);
        if ((params->flags & HOLDFAST_CONSOLE_WATCH) && (params->flags & HOLDFAST_CONSOLE_FORCE))
                return hf_fail(err, EINVAL, HOLDFAST_E_INVALID,
                               "who only watches takes nothing by force");
        if (params->replay > HF_CONSOLE_REPLAY_MAX)
                return hf_fail(err, EINVAL, HOLDFAST_E_INVALID,
                               "at most %d lines can be replayed, not %u", HF_CONSOLE_REPLAY_MAX,
                               params->replay);
        if (path && params->path[0] != '/')
                return hf_fail(err, EINVAL, HOLDFAST_E_INVALID,
                               "the path of a console must be absolute, not \"%s\"", params->path);
        return 0;
}

/* sshd says where its client is; who has none sits here. */
static const char *where_from(const char *given, char text[static HF_CONSOLE_WHO_MAX])
{
        const char *ssh = given ? NULL : secure_getenv("SSH_CONNECTION");

        (void)snprintf(text, HF_CONSOLE_WHO_MAX, "%.*s", ssh ? (int)strcspn(ssh, " ") : 0,
                       ssh ? ssh : "");
        return given ? given : text;
}

static char *unconst(const char *text)
{
        return (char *)(uintptr_t)(text ? text : "");
}

static void fill_args(struct hf_console_attach_args *args,
                      const struct holdfast_console_params *params, const char *from)
{
        *args = (struct hf_console_attach_args){
                .vm = unconst(params->vm),
                .device = unconst(params->device),
                .path = unconst(params->path),
                .pid = (unsigned int)params->pid,
                .flags = params->flags,
                .replay = params->replay,
                .rows = params->rows,
                .columns = params->columns,
                .from = unconst(from),
        };
        memcpy(args->uuid, params->uuid, sizeof(args->uuid));
}

/* As a person would name it. */
static const char *name_of(const struct hf_console_attach_args *args,
                           const struct hf_console_entry *entry,
                           char text[static HF_CONSOLE_WHO_MAX])
{
        const char *vm = entry ? entry->vm : args->vm;
        const char *device = entry ? entry->device : args->device;

        if (!*vm)
                return entry && *entry->path ? entry->path : args->path;
        (void)snprintf(text, HF_CONSOLE_WHO_MAX, *device ? "%.500s (%.200s)" : "%.500s%.0s", vm,
                       device);
        return text;
}

/* What an answer must have, or it cannot be used. */
static int check_answer(struct holdfast_console *console, const struct hf_console_attach_args *args,
                        struct holdfast_error *err)
{
        const struct hf_console_attach_ret *answer = &console->answer;
        char name[HF_CONSOLE_WHO_MAX];
        int flags;

        if (!answer->granted)
                return hf_console_refuse(name_of(args, answer->console, name), answer->writer,
                                         answer->stranger, answer->text, err);
        flags = console->fd < 0 ? -1 : fcntl(console->fd, F_GETFL);
        if (flags < 0 || !answer->console)
                return hf_fail(err, EBADMSG, HOLDFAST_E_PROTOCOL,
                               "the console daemon attached us and sent no stream");
        if (fcntl(console->fd, F_SETFL, flags | O_NONBLOCK) < 0)
                return hf_fail(err, errno, HOLDFAST_E_SYSTEM,
                               "cannot set up the stream of the console: %m");
        return hf_console_view_fill(&console->view, answer->console, err);
}

static int listen_for_notices(struct holdfast_console *console, struct holdfast_error *err)
{
        console->notices = (struct hf_stream){
                .caller = &console->query.caller,
                .what = "console daemon",
                .proc = HF_HOLDFAST_CONSOLE_NOTICE,
        };
        return hf_stream_begin(&console->notices, HF_HOLDFAST_CONSOLE_NOTICES, NULL, NULL, err);
}

/* On an open connection. After a failure the console is as it was, but for that connection. */
static int attach(struct holdfast_console *console, struct hf_console_attach_args *args,
                  struct holdfast_error *err)
{
        const struct hf_call request = {
                .prog = HF_HOLDFAST_PROGRAM,
                .vers = HF_HOLDFAST_VERSION,
                .proc = HF_HOLDFAST_CONSOLE_ATTACH,
                .put = (xdrproc_t)xdr_hf_console_attach_args,
                .args = args,
                .get = (xdrproc_t)xdr_hf_console_attach_ret,
                .ret = &console->answer,
                .ret_fd = &console->fd,
        };
        struct hf_error error = {0};
        int r;

        if (console->query.read_only && !(args->flags & HF_CONSOLE_ATTACH_WATCH))
                return hf_fail(err, EACCES, HOLDFAST_E_DENIED,
                               "the console daemon at %s lets this user only watch",
                               console->query.caller.path);
        if (console->query.read_only)
                args->flags |= HF_CONSOLE_ATTACH_ONLY_HELD;
        console->query.caller.timeout_ms = ATTACH_TIMEOUT_MS;
        r = hf_caller_call(&console->query.caller, &request, &error);
        r = r < 0 ? hf_fail_from(err, r, &error) : check_answer(console, args, err);
        if (r >= 0)
                r = listen_for_notices(console, err);
        if (r >= 0)
                return 0;
        hf_rpc_free((xdrproc_t)xdr_hf_console_attach_ret, &console->answer);
        memset(&console->answer, 0, sizeof(console->answer));
        hf_console_view_clear(&console->view);
        hf_close_fd(&console->fd);
        return r;
}

/* After our own daemon has said no: the system's may have it. */
static int attach_at_system(struct holdfast_console *console,
                            const struct hf_console_attach_args *wanted, int r,
                            struct holdfast_error *err)
{
        struct hf_console_attach_args args = *wanted;
        struct holdfast_error own = {0}, system = {0};
        bool nobody;
        int again;

        own = *err;
        nobody = own.code == HOLDFAST_E_NO_DAEMON;
        if (!nobody && r != -ENOENT && own.code != HOLDFAST_E_DENIED)
                return r;
        hf_query_done(&console->query);
        console->query = (struct hf_query)HF_QUERY_INIT;
        if (!hf_console_reach_system(&console->query, console->via,
                                     args.flags & HF_CONSOLE_ATTACH_WATCH))
                return r;
        args.flags |= HF_CONSOLE_ATTACH_ONLY_HELD;
        again = attach(console, &args, &system);
        if (again >= 0)
                return again;
        if (!nobody && again != -EBUSY)
                return r;
        *err = system;
        return again;
}

static int make(const struct holdfast_console_params *params, struct holdfast_console **ret,
                struct holdfast_error *err)
{
        struct holdfast_console *console = calloc(1, sizeof(*console));

        if (!console)
                return hf_fail_no_memory(err);
        console->query = console->calls = (struct hf_query)HF_QUERY_INIT;
        console->fd = -1;
        console->via = strdup(hf_console_via(params->via));
        if (!console->via) {
                holdfast_console_free(console);
                return hf_fail_no_memory(err);
        }
        *ret = console;
        return 0;
}

HF_PUBLIC int holdfast_console_attach(const struct holdfast_console_params *params,
                                      struct holdfast_console **ret, struct holdfast_error *err)
{
        hf_cleanup(console_freep) struct holdfast_console *console = NULL;
        struct hf_console_attach_args args;
        struct holdfast_error error = {0};
        char from[HF_CONSOLE_WHO_MAX];
        int r = check_params(params, err);

        if (r >= 0)
                r = make(params, &console, err);
        if (r < 0)
                return r;
        fill_args(&args, params, where_from(params->from, from));
        r = hf_console_reach(&console->query, console->via, true, &error);
        if (r >= 0)
                r = attach(console, &args, &error);
        if (r < 0)
                r = attach_at_system(console, &args, r, &error);
        if (r < 0) {
                if (err)
                        *err = error;
                return r;
        }
        *ret = hf_steal_ptr(console);
        return 0;
}
