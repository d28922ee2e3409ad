/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "prhelper/emulated/nexus.h"

#include <stdlib.h>
#include <string.h>

void hf_pr_state_clear(struct hf_pr_state *state)
{
        free(state->nexuses);
        *state = (struct hf_pr_state){0};
}

static bool holder_sound(const struct hf_pr_state *state)
{
        const struct hf_pr_nexus_state *holder;

        if (state->type == HF_PR_NONE)
                return !state->holder[0];
        if (!hf_pr_type_known(state->type) || hf_pr_nexus_count(state, 0) == 0)
                return false;
        if (hf_pr_type_is_all(state->type))
                return !state->holder[0];
        holder = hf_pr_nexus_find(state, state->holder);
        return holder && holder->key;
}

bool hf_pr_state_sound(const struct hf_pr_state *state)
{
        size_t registered = hf_pr_nexus_count(state, 0);

        if (registered > HF_PR_NEXUSES_MAX || state->n - registered > HF_PR_ATTENTIONS_MAX)
                return false;
        for (size_t i = 0; i < state->n; i++) {
                const struct hf_pr_nexus_state *one = &state->nexuses[i];

                if (!one->name[0] || hf_pr_nexus_find(state, one->name) != one ||
                    (!one->key && !one->attention))
                        return false;
        }
        return holder_sound(state);
}
