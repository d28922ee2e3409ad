/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What is wrong, or will be, with this host's part in its lockspaces: what a VM that is to
 * start would meet, found without taking anything.
 */

#include "driver/sanlock/daemon-status.h"
#include "driver/sanlock/settings.h"

enum hf_sanlock_grade {
        HF_SANLOCK_NOTE,    /* good to know */
        HF_SANLOCK_WARNING, /* leases are worth less than they might be */
        HF_SANLOCK_TROUBLE, /* VMs do not start, or those that run are in danger */
};

typedef void (*hf_sanlock_tell_fn)(void *ctx, enum hf_sanlock_grade grade, const char *text);

/* No message is longer: two paths and the words around them. */
#define HF_SANLOCK_HEALTH_TEXT_MAX 2560

/* now: seconds of CLOCK_MONOTONIC. Asks the daemon how long a join would take, if one is due. */
void hf_sanlock_health(const struct hf_sanlock_settings *settings,
                       const struct hf_sanlock_daemon *status, uint64_t now,
                       hf_sanlock_tell_fn tell, void *ctx);

/* The lockspace of that name which the host is in, joins or leaves; or NULL. */
const struct hf_sanlock_space *hf_sanlock_space_of(const struct hf_sanlock_daemon *status,
                                                   const char *lockspace);

/* Whether renewals of this host's lease in it fail. */
bool hf_sanlock_space_fails(const struct hf_sanlock_space *space);
