/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Going into the background. The process that was started waits until the
 * daemon serves, and ends with the status that the daemon reports, so that
 * whoever started it knows that it can be used.
 */

/*
 * Forks. In the daemon it returns the descriptor to report on; the first
 * process does not return. Negative errno when there could be no fork.
 */
int hf_daemonize(void);

/* Tells the first process how it went (0: serving). fd < 0 is ignored; it stays the caller's. */
void hf_daemonize_report(int fd, int status);
