/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Power loss. Reservations and registrations that were made without APTPL end when the logical unit
 * loses power. Ours has none, so this is said: its power is that of the hosts with registrations
 * on it. When one of them comes back with another boot id, the unit has lost power if all
 * registrations are that host's own. Otherwise another host, which may have been up all the time,
 * relies on the state, and it is kept: rather too long than not long enough, because what is kept
 * too long can be preempted, and what is lost lets two in.
 *
 * A host is what a nexus' name has before its first '/'. Its name has to be its own: two hosts that
 * call themselves the same would be one that boots all the time.
 */

#include "prhelper/emulated/model.h"

/*
 * Before each command of that nexus, whose host runs under that boot id. Returns whether *state
 * changed: it is empty, or the host's registrations now count for this boot.
 */
bool hf_pr_power_before(struct hf_pr_state *state, const char *nexus, const char *boot);

/* After it: a new registration gets its boot id. */
void hf_pr_power_after(struct hf_pr_state *state, const char *nexus, const char *boot);
