/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Adoption: a server goes on where an earlier one was killed, or was replaced.
 *
 *   1. what was committed is made valid;
 *   2. descriptors that nobody tells of are found, before a new one is opened;
 *   3. consoles, then what was committed is carried out, of all sessions;
 *   4. only then something is sent, or a request looked at.
 *
 * Each step may be repeated: an adopting server may be killed as well.
 */

#include "console/area.h"
#include "keeper/keeper.h"

struct hf_con_adoption;

/* Steps 1 and 2; to be called before anything is opened. */
int hf_con_adoption_new(const struct hf_keeper *keeper, struct hf_con_area *area,
                        struct hf_con_adoption **ret);
void hf_con_adoption_free(struct hf_con_adoption *adoption);

/* Step 3, in a new server. */
int hf_con_adoption_apply(struct hf_con_adoption *adoption, struct hf_con_server *server,
                          struct hf_error *err);

/* Step 4. */
void hf_con_adoption_resume(struct hf_con_server *server);

/*
 * Before another program is executed in this one's place: all that the area tells of stays open in
 * it (stays), or does not, as it is otherwise.
 */
void hf_con_adoption_leave(struct hf_con_area *area, bool stays);
