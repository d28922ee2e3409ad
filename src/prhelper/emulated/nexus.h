/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * The initiators in a unit's state: who is registered, and what each is still to be told.
 */

#include "prhelper/emulated/model.h"

/* NULL: there is none of that name. */
struct hf_pr_nexus_state *hf_pr_nexus_find(const struct hf_pr_state *state, const char *name);

/* Finds it, or makes it without a key. -ENOMEM. Pointers to others are stale afterwards. */
int hf_pr_nexus_need(struct hf_pr_state *state, const char *name, struct hf_pr_nexus_state **ret);

/* How many are registered; with key 0 all of them, else those with that key. */
size_t hf_pr_nexus_count(const struct hf_pr_state *state, uint64_t key);

/* Whether that registrant is the holder of the reservation, or one of them. */
bool hf_pr_nexus_holds(const struct hf_pr_state *state, const struct hf_pr_nexus_state *nexus);

/* Leaves a message. The graver one stays where there are two: there is room for one. */
void hf_pr_nexus_tell(struct hf_pr_nexus_state *nexus, uint16_t code, uint64_t now);

/* Leaves it with every registrant but that one. */
void hf_pr_nexus_tell_others(struct hf_pr_state *state, const struct hf_pr_nexus_state *but,
                             uint16_t code, uint64_t now);

/* The message that waits for the nexus, which may be NULL; 0: none, or none any more. */
uint16_t hf_pr_nexus_message(const struct hf_pr_nexus_state *nexus, uint64_t now);

/* Forgets messages that are too old or too many, and who has neither key nor message. */
void hf_pr_nexus_sweep(struct hf_pr_state *state, uint64_t now);
