/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What the guard's workers do (guard.h).
 *
 * Those that ask a server use the locks' own descriptors, so they share our table, and
 * a number in it may have become another file's when they come to it; that is seen, and nothing is
 * said of it then. As they wait where a server is silent, they end with the supervisor: all that
 * the daemon holds would stay open with them.
 */

#include "daemon/work.h"

/* In an outcome's items: what was found of a lock. Negative: its errno (storage/nfs-lease.h). */
enum {
        HF_PROVED_NOT = 0, /* not looked at */
        HF_PROVED_SOUND = 1,
};

/* In an outcome's items: enum hf_qmp_state and this; 0: nothing came of it. */
#define HF_TOLD_BASE 1

void hf_guard_run_renew(struct hf_worker *worker, struct hf_keeper *keeper);
void hf_guard_run_prove(struct hf_worker *worker, struct hf_keeper *keeper);
void hf_guard_run_monitor(struct hf_worker *worker, struct hf_keeper *keeper);
void hf_guard_run_signal(struct hf_worker *worker, struct hf_keeper *keeper);
