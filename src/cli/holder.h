/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Holders in words: "web0 (pid 4711, host alpha, since 10:04, holdfast run)".
 */

#include <holdfast/holdfast.h>
#include <stddef.h>

/* A VM's name and everything around it. */
#define HF_HOLDER_TEXT_MAX 768

/* "10:04", or with the date when it was not today. */
#define HF_SINCE_TEXT_MAX 32

/* since: microseconds since the epoch; times are local. Returns text. */
char *hf_since_text(uint64_t since, char text[static HF_SINCE_TEXT_MAX]);

/* What is not known is left out. Returns text. */
char *hf_holder_text(const struct holdfast_holder *holder, char text[static HF_HOLDER_TEXT_MAX]);

/* The holder of a lock that the daemon reported; host may be NULL. Returns text. */
char *hf_lock_holder_text(const struct holdfast_lock_info *lock, const char *host,
                          char text[static HF_HOLDER_TEXT_MAX]);

/* A VM's state in one word: "running", "ending", "stubborn", "carried". */
const char *hf_state_name(unsigned int state);

/* What is known of a lock's lease, in one word: "none", "sound", "in danger", "lost". */
const char *hf_lease_name(unsigned int lease);

/* Whether the lock stands against a wish to share (or not to share) the same thing. */
static inline int hf_lock_opposes(const struct holdfast_lock_info *lock, int shared)
{
        return !lock->metadata && !(shared && lock->shared);
}
