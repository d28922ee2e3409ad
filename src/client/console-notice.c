/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "client/console.h"

#include "base/cleanup.h"

#include <errno.h>
#include <string.h>

static int take(struct holdfast_console *console, const struct hf_stream_message *message,
                struct holdfast_error *err)
{
        struct hf_error error = {0};

        hf_rpc_free((xdrproc_t)xdr_hf_console_notice, &console->notice);
        memset(&console->notice, 0, sizeof(console->notice));
        if (hf_rpc_get_payload(message->payload, message->len, (xdrproc_t)xdr_hf_console_notice,
                               &console->notice, &error) < 0)
                return hf_stream_end(&console->notices, EBADMSG, err);
        return 0;
}

static void give_out(struct holdfast_console *console, struct holdfast_console_notice *ret)
{
        const struct hf_console_notice *from = &console->notice;
        struct holdfast_console_notice notice = {
                .size = ret->size,
                .kind = from->kind,
                .position = from->position,
                .count = from->count,
                .text = from->text,
        };

        if (from->client) {
                hf_console_fill_client(&console->client, from->client);
                notice.client = &console->client;
        }
        if (from->stranger) {
                hf_console_fill_stranger(&console->stranger, from->stranger);
                notice.stranger = &console->stranger;
        }
        /* A caller that was compiled before a member came has no room for it. */
        memcpy(ret, &notice, notice.size < sizeof(notice) ? notice.size : sizeof(notice));
}

HF_PUBLIC int holdfast_console_next_notice(struct holdfast_console *console,
                                           struct holdfast_console_notice *ret,
                                           struct holdfast_error *err)
{
        struct hf_stream_message message;
        int r;

        if (!HF_HAS(ret, text))
                return hf_fail(err, EINVAL, HOLDFAST_E_INVALID,
                               "struct holdfast_console_notice was not initialised (size %zu)",
                               ret->size);
        do {
                r = hf_stream_next(&console->notices, 0, &message, err);
                if (r > 0)
                        r = take(console, &message, err) < 0 ? -EBADMSG : 1;
                /* A server that was killed may tell again what it has told. */
        } while (r > 0 && console->notice.number <= console->last_notice);
        if (r == -ECONNRESET)
                return -EPIPE;
        if (r <= 0)
                return r;
        console->last_notice = console->notice.number;
        give_out(console, ret);
        return 1;
}
