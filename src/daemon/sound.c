/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/sound.h"

#include "base/cleanup.h"

#include <string.h>

uint32_t hf_session_check(const struct hf_session *session)
{
        /* Each number in a place of its own, so that none can stand in for another. */
        const uint64_t words[] = {
                (uint64_t)session->fd,
                session->listener_index,
                session->kind,
                session->read_only,
                session->refused,
                session->id,
                session->connected,
                session->arrived,
                (uint64_t)session->peer_pid,
                (uint64_t)session->peer_uid,
                (uint64_t)session->peer_gid,
        };
        uint64_t h = 0xcbf29ce484222325ULL;

        for (size_t i = 0; i < HF_ARRAY_LEN(words); i++) {
                h = (h ^ words[i]) * 0x9e3779b97f4a7c15ULL;
                h ^= h >> 32;
        }
        return (uint32_t)h | 1;
}

/* Of a request as large as there may be, and what is pipelined behind it. */
#define RECEIVED_MAX (HF_RPC_BODY_MAX + HF_EXCHANGE_BUFFER(HF_RPC_REQUEST_KEPT))

static bool exchange_is_sound(const struct hf_exchange *exchange)
{
        for (size_t i = 0; i < HF_ARRAY_LEN(exchange->in); i++) {
                const struct hf_exchange_in *in = &exchange->in[i];
                const struct hf_exchange_out *out = &exchange->out[i];

                if (in->start > HF_RPC_REQUEST_KEPT || in->base > RECEIVED_MAX ||
                    in->vec.msg_len > RECEIVED_MAX || out->begin > HF_SESSION_ANSWER_MAX ||
                    out->end > HF_SESSION_ANSWER_MAX || out->base > HF_SESSION_ANSWER_MAX ||
                    out->vec.msg_len > HF_SESSION_ANSWER_MAX)
                        return false;
        }
        return true;
}

static bool intent_is_sound(const struct hf_intent *intent)
{
        uint32_t end = intent->kind == HF_INTENT_RELEASE_SET ? HF_TABLE_OWNERS_MAX
                                                             : HF_TABLE_HOLDS_MAX;

        return intent->kind < HF_INTENT_KINDS && intent->index < end;
}

bool hf_session_is_sound(const struct hf_session *session, const struct hf_area *area)
{
        return session->check == hf_session_check(session) &&
               session->listener_index < area->n_listeners &&
               session->owner < HF_TABLE_OWNERS_MAX && intent_is_sound(&session->intent) &&
               session->ticket <= area->next_ticket &&
               memchr(session->via, '\0', sizeof(session->via)) &&
               memchr(session->owner_name, '\0', sizeof(session->owner_name)) &&
               exchange_is_sound(&session->exchange);
}
