/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Recovery: what an earlier daemon held when it ended, by a signal or a crash.
 *
 * The table lies in the state file. The next daemon reads the claims there and,
 * before its first request, takes the locks again for all owners that are proved
 * to be the same living processes. What others took meanwhile is reported and
 * left to them: a VM is never ended for it. The new table replaces the old one
 * only when that is done, so a daemon that is killed on the way has missed
 * nothing; earlier only where the file system has no room for both.
 */

#include "daemon/server.h"

/*
 * Makes the table of this run beside the state file, or, where that cannot be, in
 * memory for now. -ENOMEM.
 */
int hf_recover_table(const char *state_file, struct hf_table **ret);

/* What an earlier daemon of this boot left there, to read its claims; as hf_table_load. */
int hf_recover_load(const char *state_file, struct hf_table **ret);

/*
 * Takes again what the state file claims; then the server's table is the state.
 * Where it cannot be, says so in the log. Before anything else is in the table, but for what was
 * taken over from a virtlockd.
 */
void hf_recover(struct hf_server *server, const char *state_file);

/* At the end: a table that says nothing leaves no file. */
void hf_recover_leave(struct hf_server *server, const char *state_file);
