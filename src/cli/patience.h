/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Patience: a verb that only asks is not kept for ever, and not without a word, by a
 * filesystem that does not answer (a file server that is down).
 *
 * The verb does its work in a child process, which may hang there; this process
 * watches it, says what it waits for, and gives up after a while. Both are ended by
 * Ctrl-C, and the child with its parent.
 */

/* Runs the verb so. Returns its exit status, or HF_EXIT_SYSTEM where it was given up. */
int hf_patience(int (*verb)(int argc, char **argv), int argc, char **argv);

/*
 * In the verb: from here on a filesystem may have to be waited for, because of `what`; and
 * until here. Without a watching process these do nothing.
 */
void hf_patience_begin(const char *what);
void hf_patience_end(void);
