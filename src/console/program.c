/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "console/program.h"

#include "base/cleanup.h"
#include "console/state.h"

#include <errno.h>
#include <string.h>

enum guard {
        GUARD_READ_ONLY_OK = 1U << 0, /* answered on the read-only socket too */
        GUARD_OWNER = 1U << 1,        /* for the daemon's owner alone */
};

struct procedure {
        int number;
        const char *name;
        xdrproc_t decode; /* NULL: no arguments */
        size_t args_size;
        ptrdiff_t flags_at;
        unsigned int flags, guards;
        int (*call)(struct hf_con_session *session, const void *args, struct hf_error *err);
};

/* Largest argument struct of any procedure; they are decoded on the stack. */
#define ARGS_MAX 256

static int hello(struct hf_con_session *session, const void *data, struct hf_error *err)
{
        const struct hf_holdfast_hello_args *args = data;
        struct hf_holdfast_hello_ret ret = {.release = (char *)(uintptr_t)HF_VERSION,
                                            .host = session->server->host,
                                            .pid = (unsigned int)getpid()};

        (void)err;
        if (session->server->keeper)
                ret.pid = (unsigned int)hf_keeper_pid(session->server->keeper);
        if (*args->via)
                hf_con_copy_plain(session->via, sizeof(session->via), args->via);
        hf_con_session_answer(session, (xdrproc_t)xdr_hf_holdfast_hello_ret, &ret);
        return HF_CON_ANSWERED;
}

static int notices(struct hf_con_session *session, const void *args, struct hf_error *err)
{
        (void)args;
        if (!session->client.token)
                return hf_error_set(err, EINVAL, HF_ERR_OPERATION_INVALID, HF_FROM_RPC,
                                    "nothing is attached by this connection");
        return HF_CON_LISTEN;
}

static int name_of(const struct hf_console_register_args *args, struct hf_con_name *ret,
                   struct hf_error *err)
{
        *ret = (struct hf_con_name){.vm = args->vm,
                                    .device = args->device,
                                    .path = args->path,
                                    .chardev = args->chardev,
                                    .monitor = args->monitor,
                                    .uuid = (const uint8_t *)args->uuid,
                                    .pid = (pid_t)args->pid};
        if (!*args->vm || !*args->device || *args->path != '/')
                return hf_error_set(err, EINVAL, HF_ERR_INVALID_ARG, HF_FROM_RPC,
                                    "a console is registered by its VM, device and absolute path");
        if (ret->pid <= 0)
                return hf_error_set(err, EINVAL, HF_ERR_INVALID_ARG, HF_FROM_RPC,
                                    "a console is registered for a VM that runs: its pid is "
                                    "missing");
        return 0;
}

/* The same VM and device on another path or in another process: what was there is over. */
static struct hf_console *find_registered(struct hf_con_server *server,
                                          const struct hf_con_name *name)
{
        struct hf_console *console = hf_console_by_name(server, name->vm, name->device);

        if (console && (console->pid != name->pid || (strcmp(console->path, name->path) &&
                                                      strcmp(console->alias, name->path)))) {
                if (console->registered)
                        hf_console_end(console, "replaced by another one of the same name");
                console = NULL;
        }
        return console ? console : hf_console_by_path(server, name->path);
}

static int do_register(struct hf_con_session *session, const void *data, struct hf_error *err)
{
        struct hf_con_server *server = session->server;
        struct hf_con_name name;
        struct hf_console_register_ret ret = {0};
        struct hf_console *console;
        int r = name_of(data, &name, err);

        if (r < 0)
                return r;
        console = find_registered(server, &name);
        if (!console) {
                r = hf_console_new(server, &name, &console);
                if (r < 0)
                        return hf_error_sys(err, -r, "cannot hold one more console");
        }
        r = hf_console_register(console, &name, err);
        if (r < 0)
                return r;
        if (console->state == HF_CONSOLE_BUSY && console->tried < session->waits_since)
                hf_console_take(console, 0);
        if (console->state == HF_CONSOLE_OPENING)
                return HF_CON_WAIT;
        hf_con_state_save(server);
        ret.id = console->id;
        ret.state = console->state;
        ret.text = console->text;
        hf_con_session_answer(session, (xdrproc_t)xdr_hf_console_register_ret, &ret);
        return HF_CON_ANSWERED;
}

static int forget(struct hf_con_session *session, const void *data, struct hf_error *err)
{
        const struct hf_console_forget_args *args = data;
        struct hf_console *console;

        if (*args->path)
                console = hf_console_by_path(session->server, args->path);
        else
                console = hf_console_by_name(session->server, args->vm, args->device);
        if (!console) {
                (void)hf_error_set(err, ENOENT, HF_ERR_SYSTEM, HF_FROM_RPC,
                                   "no console of %s is held here",
                                   *args->path ? args->path : args->vm);
                if (err)
                        err->sys = ENOENT;
                return -ENOENT;
        }
        session->intent = HF_CON_INTENT_FORGET;
        session->intent_console = console->id;
        session->intent_flags = args->flags;
        return HF_CON_DONE;
}

#define PROCEDURE(upper, lower, word, known, checks, function)                                     \
        {                                                                                          \
                .number = HF_HOLDFAST_##upper, .name = word, .decode = (xdrproc_t)xdr_hf_##lower,  \
                .args_size = sizeof(struct hf_##lower),                                            \
                .flags_at = offsetof(struct hf_##lower, flags), .flags = (known),                  \
                .guards = (checks), .call = (function)                                             \
        }

static const struct procedure procedures[] = {
        PROCEDURE(HELLO, holdfast_hello_args, "hello", 0, GUARD_READ_ONLY_OK, hello),
        PROCEDURE(CONSOLE_LIST, holdfast_list_args, "console-list", HF_CONSOLE_LIST_STRANGERS,
                  GUARD_READ_ONLY_OK, hf_con_list),
        PROCEDURE(CONSOLE_ATTACH, console_attach_args, "console-attach",
                  HF_CONSOLE_ATTACH_WATCH | HF_CONSOLE_ATTACH_FORCE | HF_CONSOLE_ATTACH_KEEP |
                          HF_CONSOLE_ATTACH_ONLY_HELD,
                  GUARD_READ_ONLY_OK, hf_con_attach),
        {.number = HF_HOLDFAST_CONSOLE_NOTICES,
         .name = "console-notices",
         .flags_at = -1,
         .guards = GUARD_READ_ONLY_OK,
         .call = notices},
        PROCEDURE(CONSOLE_ACT, console_act_args, "console-act", HF_CONSOLE_ATTACH_FORCE, 0,
                  hf_con_act),
        PROCEDURE(CONSOLE_REGISTER, console_register_args, "console-register", 0, GUARD_OWNER,
                  do_register),
        PROCEDURE(CONSOLE_FORGET, console_forget_args, "console-forget", HF_CONSOLE_ATTACH_FORCE,
                  GUARD_OWNER, forget),
};

static int check(const struct hf_con_session *session, const struct procedure *procedure,
                 const void *args, struct hf_error *err)
{
        unsigned int flags = 0;

        if (procedure->flags_at >= 0)
                memcpy(&flags, (const char *)args + procedure->flags_at, sizeof(flags));
        if (flags & ~procedure->flags)
                return hf_error_set(err, EINVAL, HF_ERR_INVALID_ARG, HF_FROM_RPC,
                                    "unsupported flags (0x%x) in %s", flags & ~procedure->flags,
                                    procedure->name);
        if (session->read_only && !(procedure->guards & GUARD_READ_ONLY_OK))
                return hf_error_set(err, EPERM, HF_ERR_OPERATION_DENIED, HF_FROM_RPC,
                                    "%s is not answered on the read-only socket", procedure->name);
        if (!session->owner && (procedure->guards & GUARD_OWNER))
                return hf_error_set(err, EPERM, HF_ERR_OPERATION_DENIED, HF_FROM_RPC,
                                    "%s is for %s alone", procedure->name,
                                    session->server->privileged ? "root" : "the daemon's user");
        return 0;
}

static int call_procedure(struct hf_con_session *session, const struct procedure *procedure,
                          const uint8_t *payload, size_t len, struct hf_error *err)
{
        _Alignas(max_align_t) char args[ARGS_MAX] = {0};
        int r;

        if (procedure->decode) {
                r = hf_rpc_get_payload(payload, len, procedure->decode, args, err);
                if (r < 0)
                        return r;
        }
        r = check(session, procedure, args, err);
        if (r >= 0)
                r = procedure->call(session, args, err);
        if (procedure->decode)
                hf_rpc_free(procedure->decode, args);
        return r;
}

static int serve_call(struct hf_con_session *session, const uint8_t *payload, size_t len,
                      struct hf_error *err)
{
        const struct hf_rpc_header *call = &session->call;

        if (call->prog != HF_HOLDFAST_PROGRAM || call->vers != HF_HOLDFAST_VERSION)
                return hf_error_set(err, EPROTO, HF_ERR_RPC, HF_FROM_RPC,
                                    "there is no program %u version %u on this socket", call->prog,
                                    call->vers);
        if (call->status != HF_RPC_OK)
                return hf_error_set(err, EPROTO, HF_ERR_RPC, HF_FROM_RPC,
                                    "a call cannot have the status %u", call->status);
        for (size_t i = 0; i < HF_ARRAY_LEN(procedures); i++)
                if (procedures[i].number == call->proc)
                        return call_procedure(session, &procedures[i], payload, len, err);
        return hf_error_set(err, EPROTO, HF_ERR_RPC, HF_FROM_RPC,
                            "there is no procedure %d here: this daemon serves consoles",
                            call->proc);
}

static bool is_keepalive(struct hf_con_session *session)
{
        struct hf_rpc_header pong;
        int kind = hf_rpc_keepalive(&session->call, &pong);

        if (kind > 0)
                hf_con_session_send_message(session, &pong);
        return kind >= 0;
}

void hf_con_dispatch(struct hf_con_session *session, const uint8_t *payload, size_t len)
{
        struct hf_error error = {0};
        int r;

        if (session->refused) {
                (void)hf_error_set(&error, EBUSY, HF_ERR_RPC, HF_FROM_RPC,
                                   "the daemon serves as many clients as it may (max_clients); try "
                                   "again when one has left, or raise that limit");
                hf_con_session_answer_error(session, &error);
                return;
        }
        if (is_keepalive(session) || session->call.type != HF_RPC_CALL)
                return;
        r = serve_call(session, payload, len, &error);
        if (r == HF_CON_DONE)
                hf_con_session_answer(session, NULL, NULL);
        else if (r == HF_CON_WAIT)
                session->state = HF_CON_WAITING;
        else if (r == HF_CON_LISTEN)
                session->state = HF_CON_LISTENING;
        else if (r < 0)
                hf_con_session_answer_error(session, &error);
}
