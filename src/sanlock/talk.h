/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Talking to the monitor of a VM whose note there is: to its own process, and not for long. */

#include "driver/sanlock/note.h"
#include "vm/qmp.h"

/*
 * Connects to the monitor of the note's process, if that is the one that listens there. Returns
 * NULL, or why there is nobody to talk to. Close the link with hf_qmp_close in any case.
 */
const char *hf_sanlock_talk_begin(const struct hf_sanlock_note *note, enum hf_qmp_goal goal,
                                  struct hf_qmp_link *link);

/* Until it has ended, or the process of pidfd, or ms milliseconds. */
enum hf_qmp_state hf_sanlock_talk(struct hf_qmp_link *link, int pidfd, int ms);

/* Waits for the process's end and for bytes of fd (-1: none). False when the time is up. */
bool hf_sanlock_talk_wait(int pidfd, int fd, int64_t end_ms);
