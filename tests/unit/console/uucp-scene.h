/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A directory of lock files, and processes whose pids may be in them. */

#include "console/uucp-private.h"

#include <sys/sysmacros.h>

/* Not a device that is there: names are made of the path alone. */
#define PATH "/dev/pts/900003"
#define RDEV makedev(136, 3)

extern char lock_dir[64];

/* A live process that is not ours, and a dead one. */
extern pid_t alive, dead;

/* Set-up and tear-down of a group, and of each test. */
int make_processes(void **state);
int end_processes(void **state);
int make_dir(void **state);
int remove_dir(void **state);

void forget_files(void);
size_t count_files(void);

/* A file that is so old; put_pid: as programs write it, and not young. */
void put(const char *name, const void *content, size_t len, int age_sec);
void put_pid(const char *name, pid_t pid);

/* The pid in a file, 0 if there is none in it, -1 if there is no file. */
pid_t in_file(const char *name);

/* Takes the device for this process. */
int take(struct hf_uucp *ret, struct hf_uucp_holder *ret_holder);

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_dir, remove_dir)
