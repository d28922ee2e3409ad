/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What is done with an attachment, on a connection of its own and by its token. */

#include "client/console.h"

#include "base/cleanup.h"

#include <errno.h>
#include <string.h>

static int call(struct holdfast_console *console, struct hf_console_act_args *args,
                struct hf_console_act_ret *ret, struct holdfast_error *err)
{
        int r = 0;

        if (console->calls.caller.fd < 0) {
                hf_query_done(&console->calls);
                console->calls = (struct hf_query)HF_QUERY_INIT;
                r = hf_console_reach_again(&console->calls, &console->query, console->via, err);
        }
        if (r >= 0)
                r = hf_query_call(&console->calls, HF_HOLDFAST_CONSOLE_ACT,
                                  (xdrproc_t)xdr_hf_console_act_args, args,
                                  (xdrproc_t)xdr_hf_console_act_ret, ret, err);
        return r;
}

static int act(struct holdfast_console *console, struct hf_console_act_args args,
               struct holdfast_error *err)
{
        const struct holdfast_console_info *info = &console->view.info;
        struct hf_console_act_ret ret = {0};
        int r;

        args.token = console->answer.token;
        r = call(console, &args, &ret, err);
        if (r >= 0 && !ret.granted)
                r = hf_console_refuse(*info->vm ? info->vm : info->path, ret.writer, NULL, ret.text,
                                      err);
        hf_rpc_free((xdrproc_t)xdr_hf_console_act_ret, &ret);
        return r;
}

HF_PUBLIC int holdfast_console_break(struct holdfast_console *console, struct holdfast_error *err)
{
        return act(console, (struct hf_console_act_args){.act = HF_CONSOLE_ACT_BREAK}, err);
}

HF_PUBLIC int holdfast_console_resize(struct holdfast_console *console, unsigned int rows,
                                      unsigned int columns, struct holdfast_error *err)
{
        return act(console,
                   (struct hf_console_act_args){
                           .act = HF_CONSOLE_ACT_SIZE, .rows = rows, .columns = columns},
                   err);
}

HF_PUBLIC int holdfast_console_take(struct holdfast_console *console, unsigned int flags,
                                    struct holdfast_error *err)
{
        if (flags & ~HOLDFAST_CONSOLE_FORCE)
                return hf_fail(err, EINVAL, HOLDFAST_E_INVALID, "unknown flags 0x%x", flags);
        return act(console,
                   (struct hf_console_act_args){.act = HF_CONSOLE_ACT_TAKE, .flags = flags}, err);
}

HF_PUBLIC int holdfast_console_yield(struct holdfast_console *console, struct holdfast_error *err)
{
        return act(console, (struct hf_console_act_args){.act = HF_CONSOLE_ACT_YIELD}, err);
}
