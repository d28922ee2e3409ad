/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Standing in for a child: whoever started us and waits for us, or sends us a
 * signal, shall meet the VMM as if we were not there.
 *
 *     hf_supervise_fork   makes the child: no signal gets lost from before that on, and in the
 *                         child all is as we got it
 *     hf_supervise        in the parent, until the child has ended
 */

#include <signal.h>
#include <sys/types.h>

struct hf_supervise {
        sigset_t waited;       /* what we take */
        sigset_t mask;         /* the signal mask that we got */
        struct sigaction chld; /* what SIGCHLD was for whoever started us */
};

/* Returns the child's pid, 0 in the child, or a negative errno, which was reported. */
pid_t hf_supervise_fork(struct hf_supervise *how);

/* Returns the exit status to end with: the child's, or 128 and its signal's number. */
int hf_supervise(const struct hf_supervise *how, pid_t child);
