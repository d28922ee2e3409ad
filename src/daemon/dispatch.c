/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/dispatch.h"

#include "base/cleanup.h"

#include <errno.h>
#include <string.h>

static const struct hf_program *const programs[] = {
        &hf_lock_program,
        &hf_holdfast_program,
        &hf_admin_program,
};

static const struct hf_program *find_program(const struct hf_session *session)
{
        for (size_t i = 0; i < HF_ARRAY_LEN(programs); i++)
                if (programs[i]->number == session->call.prog &&
                    programs[i]->version == session->call.vers &&
                    programs[i]->kind == session->kind)
                        return programs[i];
        return NULL;
}

static const struct hf_procedure *find_procedure(const struct hf_program *program, int number)
{
        for (size_t i = 0; i < program->n; i++)
                if (program->procedures[i].number == number)
                        return &program->procedures[i];
        return NULL;
}

static int check_guards(const struct hf_session *session, const struct hf_procedure *procedure,
                        struct hf_error *err)
{
        if (session->read_only && !(procedure->guards & HF_GUARD_READ_ONLY_OK))
                return hf_error_set(err, EPERM, HF_ERR_OPERATION_DENIED, HF_FROM_RPC,
                                    "%s is not answered on the read-only socket", procedure->name);
        if ((procedure->guards & HF_GUARD_UNRESTRICTED) && session->restricted)
                return hf_error_set(err, EPERM, HF_ERR_OPERATION_DENIED, HF_FROM_RPC,
                                    "this connection was restricted, it may ask for nothing more");
        if ((procedure->guards & HF_GUARD_REGISTERED) && !session->registered)
                return hf_error_set(err, EINVAL, HF_ERR_OPERATION_INVALID, HF_FROM_RPC,
                                    "no lock owner was registered on this connection");
        return 0;
}

static int check_flags(const struct hf_procedure *procedure, int domain, const void *args,
                       struct hf_error *err)
{
        unsigned int flags;

        if (procedure->flags_at < 0)
                return 0;
        memcpy(&flags, (const char *)args + procedure->flags_at, sizeof(flags));
        if (flags & ~procedure->flags)
                return hf_error_set(err, EINVAL, HF_ERR_INVALID_ARG, domain,
                                    "unsupported flags (0x%x) in %s", flags & ~procedure->flags,
                                    procedure->name);
        return 0;
}

static int call_with(struct hf_session *session, const struct hf_procedure *procedure,
                     const void *args, struct hf_error *err)
{
        int r = check_flags(procedure, find_program(session)->domain, args, err);

        if (r >= 0)
                r = check_guards(session, procedure, err);
        if (r < 0)
                return r;
        return procedure->call(session, args, err);
}

static int call_procedure(struct hf_session *session, const struct hf_procedure *procedure,
                          const uint8_t *payload, size_t len, struct hf_error *err)
{
        _Alignas(max_align_t) char args[HF_ARGS_MAX];
        int r;

        if (!procedure->decode)
                return call_with(session, procedure, NULL, err);
        memset(args, 0, procedure->args_size);
        r = hf_rpc_get_payload(payload, len, procedure->decode, args, err);
        if (r < 0 && len + HF_RPC_HEADER_SIZE == HF_RPC_REQUEST_KEPT)
                return hf_error_set(err, EMSGSIZE, HF_ERR_RPC, HF_FROM_RPC,
                                    "the call of %s is too large: it may have %d bytes",
                                    procedure->name, HF_RPC_REQUEST_KEPT);
        if (r < 0)
                return r;
        r = call_with(session, procedure, args, err);
        if (r < 0 || !procedure->takes_args)
                hf_rpc_free(procedure->decode, args);
        return r;
}

static int serve_call(struct hf_session *session, const uint8_t *payload, size_t len,
                      struct hf_error *err)
{
        const struct hf_rpc_header *call = &session->call;
        const struct hf_program *program = find_program(session);
        const struct hf_procedure *procedure;

        if (!program)
                return hf_error_set(err, EPROTO, HF_ERR_RPC, HF_FROM_RPC,
                                    "there is no program %u version %u on this socket", call->prog,
                                    call->vers);
        if (call->status != HF_RPC_OK)
                return hf_error_set(err, EPROTO, HF_ERR_RPC, HF_FROM_RPC,
                                    "a call cannot have the status %u", call->status);
        procedure = find_procedure(program, call->proc);
        if (!procedure)
                return hf_error_set(err, EPROTO, HF_ERR_RPC, HF_FROM_RPC,
                                    "there is no procedure %d in this program", call->proc);
        return call_procedure(session, procedure, payload, len, err);
}

static bool is_keepalive(struct hf_session *session)
{
        struct hf_rpc_header pong;
        int kind = hf_rpc_keepalive(&session->call, &pong);

        if (kind > 0)
                hf_session_send_message(session, &pong);
        return kind >= 0;
}

void hf_dispatch(struct hf_session *session, const uint8_t *payload, size_t len)
{
        struct hf_error error = {0};
        int r;

        if (session->refused) {
                (void)hf_error_set(&error, EBUSY, HF_ERR_RPC, HF_FROM_RPC,
                                   "the daemon serves as many clients as it may%s",
                                   session->read_only
                                           ? " on its read-only socket; try again"
                                           : " (max_clients); try again when one has left, or "
                                             "raise that limit");
                hf_session_answer_error(session, &error);
                return;
        }
        if (is_keepalive(session))
                return;
        if (session->call.type != HF_RPC_CALL && find_program(session))
                return;
        r = serve_call(session, payload, len, &error);
        if (r == HF_DONE)
                hf_session_answer(session, NULL, NULL);
        else if (r == HF_PENDING)
                session->state = HF_SESSION_WORKING;
        else if (r < 0)
                hf_session_answer_error(session, &error);
}
