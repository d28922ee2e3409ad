/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/intent.h"

#include "daemon/event.h"
#include "daemon/parking.h"
#include "daemon/release.h"
#include "daemon/session.h"
#include "daemon/wait.h"

#include <stdatomic.h>

void hf_intent_claim(struct hf_table *table, const struct hf_intent *intent)
{
        if (intent->kind == HF_INTENT_CLAIM_HOLD)
                hf_table_claim_hold(table, intent->index);
        else if (intent->kind == HF_INTENT_CLAIM_SET)
                hf_table_claim_set(table, intent->index);
        else if (intent->kind == HF_INTENT_CLAIM_LOCKSPACE)
                hf_table_claim_lockspace(table, intent->index);
}

/* What others take while a worker is waited for is theirs. */
static bool release_everything(struct hf_server *server, struct hf_intent *intent)
{
        if (!intent->index)
                hf_release_everything(server);
        atomic_signal_fence(memory_order_seq_cst);
        intent->index = 1;
        return !hf_release_is_under_way(server);
}

/* A hold is claimed. */
static void taken(struct hf_server *server, uint32_t hold)
{
        hf_parking_park(server, hold);
        hf_waits_owner_holds(server, hf_table_hold(server->table, hold)->owner);
        /* A record that was damaged claims nothing. */
        if (hf_table_hold(server->table, hold)->check)
                hf_event_of_hold(server, HF_HOLDFAST_EVENT_ACQUIRED, hold, "");
}

static void set_taken(struct hf_server *server, uint32_t first)
{
        uint32_t i = first;

        /* Here, too, what somebody else wrote into the records ends somewhere. */
        for (unsigned int n = 0; i && i < HF_TABLE_HOLDS_MAX && n < HF_HOLDFAST_SET_MAX; n++) {
                taken(server, i);
                i = hf_table_hold(server->table, i)->next_in_set;
        }
}

/* Returns whether it is done; a worker is busy with it otherwise. */
static bool carry_out(struct hf_session *session, struct hf_intent *intent)
{
        if (intent->kind == HF_INTENT_RELEASE)
                return hf_release_named(session->server, intent->index);
        if (intent->kind == HF_INTENT_RELEASE_ALL)
                return release_everything(session->server, intent);
        if (intent->kind == HF_INTENT_RELEASE_SET)
                return hf_release_of_set(session->server, intent->index, intent->set);
        if (intent->kind == HF_INTENT_CLAIM_HOLD)
                taken(session->server, intent->index);
        else if (intent->kind == HF_INTENT_CLAIM_SET)
                set_taken(session->server, intent->index);
        else if (intent->kind == HF_INTENT_RESTRICT)
                session->restricted = true;
        return true;
}

void hf_intent_carry_out(struct hf_session *session)
{
        struct hf_intent *intent = &session->intent;

        if (intent->kind == HF_INTENT_NONE)
                return;
        hf_intent_claim(session->server->table, intent);
        if (!carry_out(session, intent)) {
                session->state = HF_SESSION_SETTLING;
                return;
        }
        atomic_signal_fence(memory_order_seq_cst);
        intent->kind = HF_INTENT_NONE;
        if (session->state == HF_SESSION_SETTLING)
                session->state = HF_SESSION_SENDING;
}
