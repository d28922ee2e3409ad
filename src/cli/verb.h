/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The verbs of `holdfast`, and how it ends.
 *
 * Each verb is a file with one entry in the table of main.c. A verb reads its
 * own options (argv[0] is its name) and returns the exit status. Statuses are
 * those of sysexits(3), because scripts have to tell "try again later" from
 * "this cannot work".
 */

#include "base/options.h"

enum hf_exit {
        HF_EXIT_OK = 0,
        HF_EXIT_NOBODY = 1,     /* who: nobody holds it */
        HF_EXIT_USAGE = 64,     /* EX_USAGE */
        HF_EXIT_STALE = 65,     /* EX_DATAERR: used by others since the VM was paused */
        HF_EXIT_NO_IMAGE = 66,  /* EX_NOINPUT: an image is missing, or is no image */
        HF_EXIT_NO_DAEMON = 69, /* EX_UNAVAILABLE */
        HF_EXIT_INTERNAL = 70,  /* EX_SOFTWARE */
        HF_EXIT_SYSTEM = 71,    /* EX_OSERR: the system refuses, and none of the others */
        HF_EXIT_HELD = 75,      /* EX_TEMPFAIL: held by another, try again later */
        HF_EXIT_DENIED = 77,    /* EX_NOPERM */
        HF_EXIT_CONFIG = 78,    /* EX_CONFIG */
        /* As env(1) and the shells do. */
        HF_EXIT_CANNOT_RUN = 126,
        HF_EXIT_NOT_FOUND = 127,
        HF_EXIT_BY_SIGNAL = 128, /* and the number of the signal */
};

/* What --version says. */
#define HF_VERSION_LINE "holdfast " HF_VERSION

/* The row of the option --json, of a verb whose options are a type with a member of that name. */
#define HF_JSON_OPTION(type)                                                                       \
        {                                                                                          \
                .long_name = "json", .help = "print JSON, for programs", .kind = HF_OPTION_FLAG,   \
                .offset = offsetof(type, json)                                                     \
        }

struct hf_verb {
        const char *name;
        const char *summary;
        int (*run)(int argc, char **argv);
};

int hf_verb_run(int argc, char **argv);
int hf_verb_lock(int argc, char **argv);
int hf_verb_check(int argc, char **argv);
int hf_verb_ps(int argc, char **argv);
int hf_verb_who(int argc, char **argv);
int hf_verb_console(int argc, char **argv);
int hf_verb_explain(int argc, char **argv);
int hf_verb_events(int argc, char **argv);
int hf_verb_metrics(int argc, char **argv);
int hf_verb_label(int argc, char **argv);
int hf_verb_pr(int argc, char **argv);
int hf_verb_sanlock(int argc, char **argv);
int hf_verb_adopt(int argc, char **argv);

/*
 * Reads a verb's options into *out, whose struct hf_standard_options is at
 * *standard. Returns 0 to go on; otherwise the verb ends with *ret_status: after
 * --help and the like, or after a fault, which was reported.
 */
int hf_verb_options(const struct hf_options *options, int argc, char **argv, void *out,
                    const struct hf_standard_options *standard, int *ret_first, int *ret_status);

/* A program that has nothing but verbs. */
struct hf_verbs {
        const char *program; /* with its verbs: "holdfast", "holdfast sanlock" */
        const char *summary;
        const struct hf_verb *verbs;
        size_t n;
};

/* The whole of main(): finds the verb and runs it; its own options are the standard ones. */
int hf_verbs_main(const struct hf_verbs *verbs, int argc, char **argv);
