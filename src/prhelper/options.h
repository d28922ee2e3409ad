/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* The command line: QEMU's helper's, word for word, and two options of our own. */

#include "base/error.h"
#include "base/options.h"

#include <stdbool.h>

struct hf_pr_arguments {
        const char *socket, *pidfile; /* NULL: the default places */
        const char *user, *group;     /* names or numbers; NULL: as we are */
        const char *config, *vm;
        bool daemon, quiet, trace;
        unsigned int verbose;
        struct hf_standard_options standard;
};

/*
 * Returns 1: go on; 0: an option such as --help was answered, and the program ends with success;
 * -EINVAL with one line in *err.
 */
int hf_pr_options_read(int argc, char **argv, struct hf_pr_arguments *ret, struct hf_error *err);
