/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Between event.c, which notes, and event-tell.c, which tells. */

#include "daemon/event.h"

/* Something was noted: whoever listens is told after this turn of the loop. */
void hf_event_happened(struct hf_server *server);
