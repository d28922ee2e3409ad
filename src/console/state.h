/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The state file: which consoles are registered, for a daemon that begins anew when all of
 * ours was killed at once.
 */

struct hf_con_server;

/* Writes it. What goes wrong is logged. */
void hf_con_state_save(struct hf_con_server *server);

/* Registers again those whose VMs live still. */
void hf_con_state_load(struct hf_con_server *server);
