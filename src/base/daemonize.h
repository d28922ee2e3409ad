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

/*
 * In the background the working directory is another one: what is executed in our place, or reads
 * `path` again, is told of it as a whole. Where *path is relative it becomes absolute, and *argv a
 * copy with "OPTION=PATH" behind it (option: "--config"). Both stay for the life of the process.
 */
int hf_daemonize_fix_path(const char **path, const char *option, char ***argv);

/*
 * What is opened while the standard input, output or error is closed takes its place, and a
 * message for people is written into it: in the worst case a disk. Opens /dev/null there.
 */
int hf_fill_standard_descriptors(void);

/* Tells the first process how it went (0: serving). fd < 0 is ignored; it stays the caller's. */
void hf_daemonize_report(int fd, int status);
