/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Stores: where the states of emulated units are kept. Several processes, and several hosts where
 * the file is on shared storage, use one at a time each: begin takes the lock that excludes them
 * all, commit returns when the new state is on disk.
 */

#include "prhelper/emulated/model.h"

#include "base/error.h"

struct hf_pr_store;

struct hf_pr_store_ops {
        /* place: of the settings. Makes what is missing; -errno with *err. */
        int (*open)(const char *place, struct hf_pr_store **ret, struct hf_error *err);
        /* Takes the lock (write: against all, else against writers) and reads the unit's state. */
        int (*begin)(struct hf_pr_store *store, const char *unit, bool write,
                     struct hf_pr_state *ret, struct hf_error *err);
        /* Keeps the state; nothing of it, or all, whenever somebody is killed. */
        int (*commit)(struct hf_pr_store *store, const char *unit, const struct hf_pr_state *state,
                      struct hf_error *err);
        void (*end)(struct hf_pr_store *store); /* gives the lock back; without commit: as it was */
        void (*close)(struct hf_pr_store *store);
};

extern const struct hf_pr_store_ops hf_pr_store_sqlite; /* emulation_database */
extern const struct hf_pr_store_ops hf_pr_store_files;  /* emulation_dir */
