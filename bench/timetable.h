/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A client that keeps to a timetable, one call each millisecond: a call that could
 * not be sent in time counts from when it was due. Otherwise an answer that takes
 * two seconds would be one slow call among many fast ones and vanish from every
 * percentile, although a client that came at any moment of those two seconds
 * would have waited.
 */

#include "samples.h"
#include "scene.h"

#include <stdbool.h>

/* Whether the process behind a pidfd has ended. */
bool has_ended(int pidfd);

/*
 * Calls by the timetable, up to all that were due by `end`, or by the time at
 * which the process behind `pidfd` (if not -1) was seen to have ended; those
 * that are overdue by then are still made and counted. Finishes with nothing
 * held. Returns that time.
 */
uint64_t call_on_time(int fd, struct disks *disks, uint64_t end, int pidfd,
                      struct samples *samples);
