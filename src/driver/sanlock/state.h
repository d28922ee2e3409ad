/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * States: what a process holds, as sanlock writes it (LOCKSPACE:KEY:PATH:OFFSET:VERSION, or
 * :SH, with blanks in between), which is also libvirt's form of it. With the version of a lease
 * its next holder can demand that nobody had it in between.
 */

#include "driver/sanlock/codes.h"
#include "driver/sanlock/lease.h"

#include <stdbool.h>
#include <sys/types.h>

struct hf_sanlock_state {
        struct sanlk_resource **items; /* from libsanlock; flags LVER or SHARED are set */
        int n;
};

/* NULL and "" are a state without items. -EINVAL for a text that is none. */
int hf_sanlock_state_parse(const char *text, struct hf_sanlock_state *ret,
                           struct hf_lock_error *err);

/* What a registered process holds now. -ESRCH: it is not registered. */
int hf_sanlock_state_of(pid_t pid, struct hf_sanlock_state *ret, struct hf_lock_error *err);
void hf_sanlock_state_clear(struct hf_sanlock_state *state);

/* The last one of that name, or NULL. */
const struct sanlk_resource *hf_sanlock_state_find(const struct hf_sanlock_state *state,
                                                   const char *lockspace, const char *key);

/* Gives back all in *state that pid holds, and nothing else. The first failure is returned. */
int hf_sanlock_state_release(pid_t pid, const struct hf_sanlock_state *state,
                             struct hf_lock_error *err);

/* Takes all in *state for pid at exactly its versions, or none. -ESTALE: used since. */
int hf_sanlock_state_retake(pid_t pid, const struct hf_sanlock_state *state,
                            struct hf_lock_error *err);

/* The text of those items, as inquire gives it; freed with free(). NULL where there is none. */
int hf_sanlock_state_text(const struct hf_sanlock_state *state, char **ret,
                          struct hf_lock_error *err);
