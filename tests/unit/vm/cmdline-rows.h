/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Tests that are rows of a table: a command line, and the disks that it holds. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define QEMU  "qemu-system-x86_64"
#define WORDS 40

struct row {
        const char *sentence; /* the test's name */
        const char *argv[WORDS];
        const char *want; /* as spec_text() has it */
};

/* Runs each row as a test, then `more`. Returns how many failed. */
int run_rows(const char *group, const struct row *rows, size_t n, const struct CMUnitTest *more,
             size_t n_more);
