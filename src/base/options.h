/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Command-line options from a table.
 *
 * One table per program or verb says all about its options. From it come the
 * parsing (with getopt_long, so that options look as everywhere: -v, -vv,
 * -tN, --timeout=N, unique abbreviations), the text of --help, and a plain
 * list by which a test compares the program with its manual page.
 */

#include "base/error.h"

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

enum hf_option_kind {
        HF_OPTION_HEADING, /* no option: help is a title in the text of --help */
        HF_OPTION_FLAG,    /* field: bool, set to true */
        HF_OPTION_COUNT,   /* field: unsigned int, one more each time */
        HF_OPTION_INT,     /* field: int, decimal, min to max */
        HF_OPTION_STRING,  /* field: const char *, points into argv; the last one wins */
        HF_OPTION_STRINGS, /* field: char **, see strv.h; the caller frees it */
        HF_OPTION_CALL,    /* no field: call decides */
};

struct hf_option {
        char short_name;       /* '\0': none */
        const char *long_name; /* NULL: none */
        const char *argument;  /* its name in capitals; NULL exactly if it takes none */
        const char *help;      /* NULL: hidden, neither in --help nor in the list */
        enum hf_option_kind kind;
        size_t offset; /* of the field in the caller's struct */
        int min, max;  /* of HF_OPTION_INT */
        /* Of HF_OPTION_CALL. argument is NULL if there is none. Returns 0 or -errno with *err. */
        int (*call)(const struct hf_option *option, const char *argument, void *out,
                    struct hf_error *err);
        bool optional; /* of HF_OPTION_CALL: the argument may be left out */
};

struct hf_options {
        const char *program; /* as typed: "holdfastd", "holdfast run" */
        const char *usage;   /* after the program's name: "[OPTION]... -- VMM [ARG]..." */
        const char *summary; /* a sentence on what it does */
        const struct hf_option *table;
        size_t n;
        bool stop_early; /* what follows the first non-option is not looked at */
};

/* More than any of our programs has; getopt_long's own tables are built on the stack. */
#define HF_OPTIONS_MAX 64

/*
 * Reads argv[1] and on into the struct at out. Fields of options that are not
 * given keep their values, so that the caller sets defaults before. argv is
 * reordered unless stop_early, so that *ret_first is the index of the first
 * argument that is no option (argc if there is none); "--" is passed over.
 *
 * Returns 0, or -EINVAL with one line in *err that says what to do instead.
 * After an error out may be partly filled: free its lists as after success.
 * Uses getopt's global state: not for use by two threads at once.
 */
int hf_options_parse(const struct hf_options *options, int argc, char **argv, void *out,
                     int *ret_first, struct hf_error *err);

/* Writes the text of --help to file, at most 80 columns wide where words allow. */
void hf_options_help(const struct hf_options *options, FILE *file);

/*
 * Writes one line per visible option: "-s, --long=ARG", "-s, --long",
 * "--long[=ARG]", "-s ARG" and so on.
 */
void hf_options_dump(const struct hf_options *options, FILE *file);

/* The options that every program has; embed it in the program's own struct. */
struct hf_standard_options {
        bool help, version, dump;
};

/* Their rows: type is the program's struct, member its struct hf_standard_options. */
#define HF_STANDARD_OPTIONS(type, member)                                                          \
        {.short_name = 'h',                                                                        \
         .long_name = "help",                                                                      \
         .help = "show this text and exit",                                                        \
         .kind = HF_OPTION_FLAG,                                                                   \
         .offset = offsetof(type, member.help)},                                                   \
                {.short_name = 'V',                                                                \
                 .long_name = "version",                                                           \
                 .help = "show the version and exit",                                              \
                 .kind = HF_OPTION_FLAG,                                                           \
                 .offset = offsetof(type, member.version)},                                        \
        {                                                                                          \
                .long_name = "dump-options", .kind = HF_OPTION_FLAG,                               \
                .offset = offsetof(type, member.dump)                                              \
        }

/*
 * Does what a standard option asks for, on stdout. Returns true when there was
 * one and the program shall end with success. version is the whole line.
 */
bool hf_options_answer(const struct hf_options *options, const struct hf_standard_options *given,
                       const char *version);
