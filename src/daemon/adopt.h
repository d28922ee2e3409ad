/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Adoption: a server goes on where an earlier one was killed, or was replaced.
 *
 * The descriptors are there, and the area and the lock table say what each of
 * them is. What they do not tell of was opened or accepted, and not recorded
 * any more. The order is everything:
 *
 *   1. what was committed is made valid, before the table's indexes are built;
 *   2. descriptors that nobody tells of are found, before a new one is opened;
 *   3. what was committed is carried out, of all connections, and what was
 *      being given back is given back;
 *   4. only then an answer is sent, or a request looked at.
 *
 * Each step may be repeated: an adopting server may be killed as well.
 */

#include "daemon/area.h"
#include "keeper/keeper.h"

struct hf_adoption;

/*
 * Steps 1 and 2; to be called before anything is opened. -EBADMSG: the state is
 * none of ours; -ENOMEM, or another negative errno. What fails, here and later,
 * frees and closes nothing of what it was to go on with: the process is to end
 * then, and the next one to try.
 */
int hf_adoption_new(const struct hf_keeper *keeper, struct hf_area *area, size_t size,
                    struct hf_adoption **ret);
void hf_adoption_free(struct hf_adoption *adoption);

/* The table, for the server, whose it is then. */
struct hf_table *hf_adoption_table(const struct hf_adoption *adoption);

/* Step 3, in a new server with that table. */
int hf_adoption_apply(struct hf_adoption *adoption, struct hf_server *server, struct hf_error *err);

/* Step 4. */
void hf_adoption_resume(struct hf_server *server);

/*
 * Before another program is executed in this one's place: all that the area and
 * the table tell of stays open in it (`stays`), or does not, as it is otherwise.
 */
void hf_adoption_leave(const struct hf_keeper *keeper, struct hf_area *area, struct hf_table *table,
                       bool stays);
