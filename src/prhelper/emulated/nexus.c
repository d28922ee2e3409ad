/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * A nexus is in the list while it is registered or while a message waits for it. Both are bounded,
 * by count and the messages by age, so a state cannot grow by guests that come and never return.
 */

#include "prhelper/emulated/nexus.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct hf_pr_nexus_state *hf_pr_nexus_find(const struct hf_pr_state *state, const char *name)
{
        for (size_t i = 0; i < state->n; i++)
                if (!strcmp(state->nexuses[i].name, name))
                        return &state->nexuses[i];
        return NULL;
}

int hf_pr_nexus_need(struct hf_pr_state *state, const char *name, struct hf_pr_nexus_state **ret)
{
        struct hf_pr_nexus_state *grown;

        *ret = hf_pr_nexus_find(state, name);
        if (*ret)
                return 0;
        grown = realloc(state->nexuses, (state->n + 1) * sizeof(*grown));
        if (!grown)
                return -ENOMEM;
        state->nexuses = grown;
        *ret = &grown[state->n++];
        memset(*ret, 0, sizeof(**ret));
        memcpy((*ret)->name, name, strlen(name) + 1);
        return 0;
}

size_t hf_pr_nexus_count(const struct hf_pr_state *state, uint64_t key)
{
        size_t count = 0;

        for (size_t i = 0; i < state->n; i++)
                if (state->nexuses[i].key && (!key || state->nexuses[i].key == key))
                        count++;
        return count;
}

bool hf_pr_nexus_holds(const struct hf_pr_state *state, const struct hf_pr_nexus_state *nexus)
{
        return state->type != HF_PR_NONE && nexus->key &&
               (hf_pr_type_is_all(state->type) || !strcmp(state->holder, nexus->name));
}

/* To have lost the registration says more than to see a reservation gone. */
static int rank(uint16_t code)
{
        switch (code) {
        case HF_ASC_REGISTRATIONS_PREEMPTED:
                return 3;
        case HF_ASC_RESERVATIONS_PREEMPTED:
                return 2;
        case 0:
                return 0;
        default:
                return 1;
        }
}

void hf_pr_nexus_tell(struct hf_pr_nexus_state *nexus, uint16_t code, uint64_t now)
{
        if (rank(code) < rank(hf_pr_nexus_message(nexus, now)))
                return;
        nexus->attention = code;
        nexus->attention_since = now;
}

void hf_pr_nexus_tell_others(struct hf_pr_state *state, const struct hf_pr_nexus_state *but,
                             uint16_t code, uint64_t now)
{
        for (size_t i = 0; i < state->n; i++)
                if (&state->nexuses[i] != but && state->nexuses[i].key)
                        hf_pr_nexus_tell(&state->nexuses[i], code, now);
}

uint16_t hf_pr_nexus_message(const struct hf_pr_nexus_state *nexus, uint64_t now)
{
        if (!nexus || !nexus->attention)
                return 0;
        /* Hosts' clocks differ: one that says "before that" makes nothing old. */
        if (now > nexus->attention_since && now - nexus->attention_since > HF_PR_ATTENTION_AGE)
                return 0;
        return nexus->attention;
}

static void forget_oldest(struct hf_pr_state *state)
{
        struct hf_pr_nexus_state *oldest = NULL;

        for (size_t i = 0; i < state->n; i++) {
                struct hf_pr_nexus_state *one = &state->nexuses[i];

                if (!one->key && (!oldest || one->attention_since < oldest->attention_since))
                        oldest = one;
        }
        if (!oldest)
                return;
        state->n--;
        memmove(oldest, oldest + 1, (size_t)(&state->nexuses[state->n] - oldest) * sizeof(*oldest));
}

void hf_pr_nexus_sweep(struct hf_pr_state *state, uint64_t now)
{
        size_t kept = 0, messages = 0;

        for (size_t i = 0; i < state->n; i++) {
                struct hf_pr_nexus_state *one = &state->nexuses[i];

                one->attention = hf_pr_nexus_message(one, now);
                if (!one->attention)
                        one->attention_since = 0;
                if (!one->key)
                        memset(one->boot, 0, sizeof(one->boot));
                if (!one->key && !one->attention)
                        continue;
                if (!one->key)
                        messages++;
                if (kept != i)
                        state->nexuses[kept] = *one;
                kept++;
        }
        state->n = kept;
        for (; messages > HF_PR_ATTENTIONS_MAX; messages--)
                forget_oldest(state);
}
