/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Stores: where the states of emulated units are kept. Several processes, and several hosts where
 * the file is on shared storage, use one at a time each: begin takes the lock that excludes them
 * all, commit returns when the new state is on disk.
 */

#include "prhelper/emulated/model.h"

#include "base/error.h"

/*
 * How long a command waits for the lock, in seconds. Whoever has it has it for milliseconds, so
 * more means that he is stuck; a guest gives up after 30 and would then not get the answer.
 */
#define HF_PR_STORE_PATIENCE 5

struct hf_pr_store;

struct hf_pr_store_ops {
        /* place: of the settings. make: what is missing is made; -errno with *err. */
        int (*open)(const char *place, bool make, struct hf_pr_store **ret, struct hf_error *err);
        /*
         * Takes the lock (write: against all, else against writers) and reads the unit's state,
         * which is empty for one that nobody used. -EBUSY: after HF_PR_STORE_PATIENCE; -EBADMSG:
         * damaged. Where it fails, nothing is held, and end is not called.
         */
        int (*begin)(struct hf_pr_store *store, const char *unit, bool write,
                     struct hf_pr_state *ret, struct hf_error *err);
        /*
         * Keeps the state; nothing of it, or all, whenever somebody is killed. After an error
         * nobody knows which, and the store has to be closed. end has to follow.
         */
        int (*commit)(struct hf_pr_store *store, const char *unit, const struct hf_pr_state *state,
                      struct hf_error *err);
        void (*end)(struct hf_pr_store *store); /* gives the lock back; without commit: as it was */
        void (*close)(struct hf_pr_store *store); /* also between begin and end; NULL is fine */
};

extern const struct hf_pr_store_ops hf_pr_store_sqlite; /* emulation_database */
extern const struct hf_pr_store_ops hf_pr_store_files;  /* emulation_dir */
