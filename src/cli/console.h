/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * holdfast console: what its parts share.
 *
 *     console.c           the verb: which console, and what is to be done with it
 *     console-attach.c    attaching, and again when the daemon was lost
 *     console-session.c   an attachment: what goes where, until it ends
 *     console-commands.c  what keys and notices do to it
 *     console-keys.c      the keys that are ours
 *     console-output.c    what the guest prints: times in front of lines, the filter
 *     console-terminal.c  the terminal, and that it is as it was
 *     console-list.c      which consoles there are
 *     console-log.c       what they have printed, from their logs
 */

#include "cli/console-keys.h"
#include "cli/verb.h"

#include <holdfast/console.h>
#include <stdbool.h>

struct hf_console_given {
        struct hf_standard_options standard;
        bool watch, force, keep, timestamps, plain, log, release;
        int replay; /* lines; < 0: not given */
        int linger; /* seconds */
        struct hf_console_keys keys;
};

/* A console as it was named on the command line: by vm, with device or "", or by path. */
struct hf_console_target {
        const char *name;         /* as it was written */
        char *vm, *device, *path; /* NULL or "": not that way */
};

/*
 * "VM", "VM:DEVICE"; what has a slash is a path, and made absolute. HF_EXIT_OK, or an exit status,
 * and the fault was reported.
 */
int hf_console_target_read(const char *text, struct hf_console_target *ret);
void hf_console_target_clear(struct hf_console_target *target);

#define hf_cleanup_console_target hf_cleanup(hf_console_target_clear)

/* The exit status for an error that a console met. */
int hf_console_status(const struct holdfast_error *err);

/* Attaches and stays until that ends. Returns the exit status. */
int hf_console_attach(const struct hf_console_given *given, const struct hf_console_target *target);

/* Prints its log, for which neither a VM nor a daemon is needed. Returns the exit status. */
int hf_console_show_log(const struct hf_console_given *given,
                        const struct hf_console_target *target);

/* The verb `console list`. */
int hf_console_verb_list(int argc, char **argv);
