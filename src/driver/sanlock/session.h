/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A registered connection to the sanlock daemon of this process's own: that which a VMM inherits,
 * or a short one by which is seen, before anything is asked in the name of a pid, that the
 * daemon answers at all.
 */

#include "driver/sanlock/sanlock.h"

#include <stdint.h>

struct hf_sanlock_session {
        int fd;            /* close-on-exec; -1: none */
        uint64_t deadline; /* nanoseconds of CLOCK_MONOTONIC; UINT64_MAX: none */
        bool lost;         /* it answers no more, or nobody knows what it will answer to */
};

#define HF_SANLOCK_SESSION_INIT                                                                    \
        {                                                                                          \
                .fd = -1                                                                           \
        }

/* Registers this process. deadline 0: as long as an acquire on slow storage may take. */
int hf_sanlock_session_open(struct hf_sanlock_session *session, uint64_t deadline,
                            struct hf_lock_error *err);

/* Whether the daemon answers: one question and its answer. */
int hf_sanlock_session_ask(struct hf_sanlock_session *session, struct hf_lock_error *err);

/* Before each call on session->fd: limits it to what is left until the deadline. */
void hf_sanlock_session_limit(const struct hf_sanlock_session *session);

/*
 * After each but a release: what it returned, with -ETIMEDOUT where that was the limit, and
 * -ECONNRESET where the daemon went away.
 */
int hf_sanlock_session_result(struct hf_sanlock_session *session, int rv);

/*
 * What a lease is worth that this daemon keeps (enum hf_guarantee): whether a watchdog stands
 * behind it. The driver's user is told where none does.
 */
unsigned int hf_sanlock_session_guarantee(const struct hf_sanlock_session *session,
                                          const struct hf_sanlock_driver *driver);

/* Closes it, by which all is given back that was taken on it. */
void hf_sanlock_session_done(struct hf_sanlock_session *session);

#define hf_cleanup_session hf_cleanup(hf_sanlock_session_done)
