/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Standing in for a child: whoever started us and waits for us, or sends us a
 * signal, shall meet the VMM as if we were not there.
 *
 *     hf_supervise_begin     before the fork: from here no signal gets lost
 *     hf_supervise_release   in the child, before exec: all as we got it
 *     hf_supervise           in the parent, until the child has ended
 */

#include <signal.h>
#include <sys/types.h>

struct hf_supervise {
        sigset_t waited;       /* what we take */
        sigset_t mask;         /* the signal mask that we got */
        struct sigaction chld; /* what SIGCHLD was for whoever started us */
};

void hf_supervise_begin(struct hf_supervise *how);
void hf_supervise_release(const struct hf_supervise *how);

/* Returns the exit status to end with: the child's, or 128 and its signal's number. */
int hf_supervise(const struct hf_supervise *how, pid_t child);
