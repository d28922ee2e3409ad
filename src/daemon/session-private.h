/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the two files of sessions share: session.c, their life, and session-serve.c, what is asked.
 */

#include "daemon/area.h"

/* A request at which so many servers have crashed is to blame for it. */
#define CRASHES_MAX 3

/* What a slot keeps of each of its buffers when its session ends. */
#define BUFFER_KEPT 4096

static inline struct hf_session_slot *slot_of(struct hf_session *session)
{
        return (struct hf_session_slot *)(void *)session;
}

/* The epoll that the session is in. */
static inline int poll_of(const struct hf_session *session)
{
        return session->read_only ? session->server->reader_poll_fd : session->server->poll_fd;
}
