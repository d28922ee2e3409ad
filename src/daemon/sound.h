/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Whether the record of a session is what a server wrote.
 *
 * A server that crashed may have stored anywhere before. What a record says once
 * and for all has a check; what changes is at least within its bounds, so that
 * a damaged record costs its own connection and nothing else. (The lock table has
 * its own checks, lockspace/claims.h.)
 */

#include "daemon/area.h"

/* The check of what does not change; never 0. */
uint32_t hf_session_check(const struct hf_session *session);

bool hf_session_is_sound(const struct hf_session *session, const struct hf_area *area);
