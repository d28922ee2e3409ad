/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Taking over a live virtlockd: we are what it has executed in its own place.
 *
 * Its re-exec (SIGUSR1) leaves us its process id, its sockets, its clients and the descriptors of
 * its locks, and a file that says what each is (stock-state.h). Nothing of it is closed, and no
 * lock is set anew that is there: an exclusive one stays the POSIX lock that it is (posix.h), a
 * shared one becomes an OFD lock, which is never free meanwhile.
 *
 * The file stays until a server is ready. Whatever fails before that leads back: nothing has been
 * changed, and the virtlockd can be executed again with all it had.
 */

#include "daemon/server.h"
#include "daemon/stock-state.h"

/* What became of it. */
struct hf_takeover {
        unsigned int locks, vms, clients;
        unsigned int lost; /* locks that virtlockd had noted, and had not; each was reported */
};

/*
 * Puts everything into a new server with an empty table, and its listeners. -ENOSPC, -ENOMEM and
 * the like with *err: not all of it has room.
 */
int hf_takeover_apply(struct hf_server *server, const struct hf_stock_state *stock,
                      struct hf_takeover *ret, struct hf_error *err);

/* All descriptors that a state names stay open in what is executed, or do not. */
void hf_takeover_keep_open(const struct hf_stock_state *stock, bool stays);
