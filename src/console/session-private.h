/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the two files of sessions share: session.c, their life, and session-serve.c, what is asked.
 */

#include "console/server.h"

/* A request at which so many servers have crashed is to blame for it. */
#define HF_CON_CRASHES_MAX 3

static inline struct hf_con_session_slot *slot_of(struct hf_con_session *session)
{
        return (struct hf_con_session_slot *)(void *)session;
}

int hf_con_session_serve(sd_event_source *source, int fd, uint32_t revents, void *data);
