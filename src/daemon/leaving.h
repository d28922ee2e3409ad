/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Leaving: the stock virtlockd goes on where this daemon is, in its process, with its sockets,
 * clients and locks.
 *
 * It is virtlockd's own re-exec the other way round: between two requests the file that it reads
 * is written (stock-state.h), and the supervisor, alone with the descriptors, executes it. A lock
 * stays what it is: virtlockd frees one by closing its descriptor, which ends an OFD lock as it
 * ends a POSIX one, where nobody else has a duplicate of it.
 *
 * What virtlockd cannot express, or could never give back, stands against it, and is named.
 */

#include "daemon/session.h"
#include "daemon/stock-state.h"

/* What of the daemon it takes; belongs to the daemon's process. */
struct hf_leaving_place {
        const char *handover_file;     /* where virtlockd will look */
        const char *state_file;        /* ours, which must not be read any more then */
        const char *config, *pid_file; /* as given by options, or NULL */
        bool verbose;
        int timeout;
};

/* What was found: all of it, as one text. */
struct hf_leaving_reasons {
        unsigned int n;    /* what stands against it */
        unsigned int busy; /* those of them that may be over soon */
        char text[HF_ERROR_TEXT_MAX - 64];
};

/* Looks for all that stands against it. asking: whose request it is. */
void hf_leaving_look(struct hf_server *server, const struct hf_session *asking,
                     struct hf_leaving_reasons *ret);

/* What virtlockd is to be told: descriptors of what is in the table and the area. -ENOMEM. */
int hf_leaving_fill(struct hf_server *server, const struct hf_session *asking,
                    struct hf_stock_state *ret);

/*
 * Leaves, when all that is asked for is answered; the program is an absolute path. Returns
 * HF_PENDING: the answer follows; or HF_DONE for a dry run that found nothing, or a negative errno
 * with every reason in *err.
 */
int hf_leaving_begin(struct hf_session *session, const char *program, bool dry_run,
                     struct hf_error *err);

/* In a successor: if a server had begun to leave, and could not, undoes what it had done. */
void hf_leaving_undo(struct hf_server *server);

/*
 * The files' part of that, before a daemon begins anew: whether our state was moved away for a
 * virtlockd that never began, and is back. What was left behind for one that did is removed.
 */
bool hf_leaving_restore(const struct hf_leaving_place *place);
/* The same for a daemon that takes over from virtlockd: that one has had all. */
void hf_leaving_forget(const struct hf_leaving_place *place);
