/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "prhelper/emulated/power.h"

#include "prhelper/emulated/nexus.h"

#include <stdio.h>
#include <string.h>

static bool same_host(const char *a, const char *b)
{
        size_t length = strcspn(a, "/");

        return length == strcspn(b, "/") && !strncmp(a, b, length);
}

bool hf_pr_power_before(struct hf_pr_state *state, const char *nexus, const char *boot)
{
        bool others = false, this_boot = false, earlier = false;

        for (size_t i = 0; i < state->n; i++) {
                const struct hf_pr_nexus_state *one = &state->nexuses[i];

                if (!one->key)
                        continue;
                if (!same_host(one->name, nexus))
                        others = true;
                else if (!strcmp(one->boot, boot))
                        this_boot = true;
                else
                        earlier = true;
        }
        if (!earlier)
                return false;
        if (!others && !this_boot && !state->aptpl) {
                hf_pr_state_clear(state);
                return true;
        }
        for (size_t i = 0; i < state->n; i++)
                if (state->nexuses[i].key && same_host(state->nexuses[i].name, nexus))
                        (void)snprintf(state->nexuses[i].boot, HF_PR_BOOT_MAX, "%s", boot);
        return true;
}

void hf_pr_power_after(struct hf_pr_state *state, const char *nexus, const char *boot)
{
        struct hf_pr_nexus_state *me = hf_pr_nexus_find(state, nexus);

        if (me && me->key && !me->boot[0])
                (void)snprintf(me->boot, sizeof(me->boot), "%s", boot);
}
