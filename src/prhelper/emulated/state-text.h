/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * A unit's state as text with a checksum, which is what both stores keep: an administrator can read
 * it, and damage is seen.
 */

#include "prhelper/emulated/model.h"

#include "base/error.h"

/*
 * The longest text that is read: every nexus that there may be, with every byte of its name
 * escaped.
 */
#define HF_PR_STATE_TEXT_MAX                                                                       \
        (4096 + (HF_PR_NEXUSES_MAX + HF_PR_ATTENTIONS_MAX) * (3 * HF_PR_NEXUS_MAX + 128))

/* *ret ends with a zero and is the caller's; *ret_n does not count that. -ENOMEM. */
int hf_pr_state_encode(const struct hf_pr_state *state, char **ret, size_t *ret_n);

/*
 * -EBADMSG with *err if it is damaged or of a newer version, or no sound state; -ENOMEM. Only what
 * hf_pr_state_encode wrote is taken.
 */
int hf_pr_state_decode(const char *text, size_t n, struct hf_pr_state *ret, struct hf_error *err);

/*
 * A name of any bytes as one word of letters, digits and ".-_:/" (slash: if keep_slash), all else
 * as %XX; "-" for an empty one. Returns its length, or -ENAMETOOLONG.
 */
int hf_pr_word_encode(const char *name, bool keep_slash, char *ret, size_t size);
