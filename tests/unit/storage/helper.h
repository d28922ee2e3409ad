/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the tests of this room share: a folder of their own, and processes that end with them. */

#include <stddef.h>
#include <sys/types.h>

/* Room for any path that helper_path makes. */
#define HELPER_PATH_MAX 128

/* Setup and teardown of a group of tests: the folder, with all that is in it. */
int helper_make_folder(void **state);
int helper_remove_folder(void **state);

/* The path of name in the folder; valid until eight more were asked for. */
const char *helper_path(const char *name);

/* Makes the file name in the folder, with that text in it. Returns its path. */
const char *helper_file(const char *name, const char *text);

/*
 * A child that runs body(data) and then sleeps until it is killed, at the latest
 * when we end. Returns when body has run.
 */
pid_t helper_spawn(void (*body)(void *data), void *data);

/* Kills a child and waits for its end. */
void helper_reap(pid_t pid);
