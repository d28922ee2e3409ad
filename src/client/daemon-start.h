/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Starting a session's daemon when nobody serves. */

#include "base/path.h"
#include "client/client.h"

struct hf_spawn {
        const char *what;     /* "lock daemon" */
        const char *name;     /* of its program, and of the file that its starters lock */
        const char *variable; /* of the environment, may name another program */
        const char *program;  /* where it is otherwise */
        const char *(*socket)(const struct hf_paths *paths);
};

/*
 * Returns 1 when it was started and answers, 0 when nothing was to be done: somebody answers, or
 * it is the system's, which is not ours to start. HOLDFAST_E_NO_DAEMON, whatever went wrong.
 */
int hf_spawn_if_needed(const struct hf_spawn *daemon, struct holdfast_error *err);
