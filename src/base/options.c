/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/options.h"

#include "base/cleanup.h"
#include "base/strv.h"

#include <getopt.h>
#include <string.h>

/* getopt_long answers with one int: the index in our table, above any character. */
#define INDEX_BASE 256

struct tables {
        char shorts[2 + 3 * HF_OPTIONS_MAX + 1];
        struct option longs[HF_OPTIONS_MAX + 1];
};

static void build_tables(const struct hf_options *options, struct tables *tables)
{
        char *at = tables->shorts;
        size_t n_longs = 0;

        if (options->stop_early)
                *at++ = '+';
        *at++ = ':'; /* errors come back to us instead of being printed */
        for (size_t i = 0; i < options->n; i++) {
                const struct hf_option *option = &options->table[i];

                if (option->short_name) {
                        *at++ = option->short_name;
                        if (option->argument)
                                *at++ = ':';
                        if (option->optional)
                                *at++ = ':';
                }
                if (option->long_name)
                        tables->longs[n_longs++] = (struct option){
                                .name = option->long_name,
                                .has_arg = option->optional   ? optional_argument
                                           : option->argument ? required_argument
                                                              : no_argument,
                                .val = INDEX_BASE + (int)i,
                        };
        }
        *at = '\0';
        tables->longs[n_longs] = (struct option){0};
}

/* The option for an answer of getopt_long, or NULL. */
static const struct hf_option *find_option(const struct hf_options *options, int value)
{
        if (value >= INDEX_BASE)
                return &options->table[value - INDEX_BASE];
        for (size_t i = 0; value && i < options->n; i++)
                if (options->table[i].short_name == value)
                        return &options->table[i];
        return NULL;
}

static int bad_use(const struct hf_options *options, struct hf_error *err, const char *what,
                   const char *name, const char *problem)
{
        return hf_error_set(err, EINVAL, HF_ERR_INVALID_ARG, HF_FROM_NONE,
                            "%s \"%s\"%s (\"%s --help\" lists the options)", what, name, problem,
                            options->program);
}

/* What to call an option in a message: as most people would type it. */
static void name_option(const struct hf_option *option, char *text, size_t size)
{
        if (option->long_name)
                (void)snprintf(text, size, "--%s", option->long_name);
        else
                (void)snprintf(text, size, "-%c", option->short_name);
}

static int missing_argument(const struct hf_options *options, const struct hf_option *option,
                            struct hf_error *err)
{
        char name[64], problem[64];

        name_option(option, name, sizeof(name));
        (void)snprintf(problem, sizeof(problem), " needs an argument, %s", option->argument);
        return bad_use(options, err, "option", name, problem);
}

static bool is_ambiguous(const struct hf_options *options, const char *word)
{
        size_t len = strcspn(word, "="), n = 0;

        for (size_t i = 0; i < options->n; i++)
                if (options->table[i].long_name &&
                    strncmp(options->table[i].long_name, word, len) == 0)
                        n++;
        return n > 1;
}

/* getopt_long has refused an option: optopt says which, or is 0 for an unknown long one. */
static int refused_option(const struct hf_options *options, char **argv, struct hf_error *err)
{
        const struct hf_option *option = find_option(options, optopt);
        char name[64];

        if (option) {
                name_option(option, name, sizeof(name));
                return bad_use(options, err, "option", name, " takes no argument");
        }
        if (optopt) {
                (void)snprintf(name, sizeof(name), "-%c", optopt);
                return bad_use(options, err, "unknown option", name, "");
        }
        if (is_ambiguous(options, argv[optind - 1] + 2))
                return bad_use(options, err, "option", argv[optind - 1],
                               " is short for more than one");
        return bad_use(options, err, "unknown option", argv[optind - 1], "");
}

static int parse_int(const struct hf_options *options, const struct hf_option *option,
                     const char *text, int *ret, struct hf_error *err)
{
        char name[64], problem[128];
        char *end;
        long value;

        errno = 0;
        value = strtol(text, &end, 10);
        if (errno || end == text || *end || value < option->min || value > option->max) {
                name_option(option, name, sizeof(name));
                (void)snprintf(problem, sizeof(problem),
                               " must be a whole number from %d to %d, not \"%.40s\"", option->min,
                               option->max, text);
                return bad_use(options, err, "option", name, problem);
        }
        *ret = (int)value;
        return 0;
}

static int apply(const struct hf_options *options, const struct hf_option *option, void *out,
                 struct hf_error *err)
{
        void *field = (char *)out + option->offset;

        switch (option->kind) {
        case HF_OPTION_FLAG:
                *(bool *)field = true;
                return 0;
        case HF_OPTION_COUNT:
                *(unsigned *)field += 1;
                return 0;
        case HF_OPTION_INT:
                return parse_int(options, option, optarg, field, err);
        case HF_OPTION_STRING:
                *(const char **)field = optarg;
                return 0;
        case HF_OPTION_STRINGS:
                if (hf_strv_append(field, optarg) < 0)
                        return hf_error_sys(err, ENOMEM, "cannot keep the options");
                return 0;
        case HF_OPTION_CALL:
                return option->call(option, optarg, out, err);
        case HF_OPTION_HEADING:
                break;
        }
        return 0;
}

int hf_options_parse(const struct hf_options *options, int argc, char **argv, void *out,
                     int *ret_first, struct hf_error *err)
{
        struct tables tables;
        int value, r;

        if (options->n > HF_OPTIONS_MAX)
                return hf_error_set(err, E2BIG, HF_ERR_INTERNAL, HF_FROM_NONE,
                                    "%s has more than %d options", options->program,
                                    HF_OPTIONS_MAX);
        build_tables(options, &tables);
        optind = 0; /* glibc: forget what an earlier call has seen */
        for (;;) {
                const struct hf_option *option;

                value = getopt_long(argc, argv, tables.shorts, tables.longs, NULL);
                if (value == -1)
                        break;
                if (value == '?')
                        return refused_option(options, argv, err);
                option = find_option(options, value == ':' ? optopt : value);
                if (value == ':')
                        return missing_argument(options, option, err);
                r = apply(options, option, out, err);
                if (r < 0)
                        return r;
        }
        *ret_first = optind;
        return 0;
}

bool hf_options_answer(const struct hf_options *options, const struct hf_standard_options *given,
                       const char *version)
{
        if (given->help)
                hf_options_help(options, stdout);
        else if (given->version)
                (void)puts(version);
        else if (given->dump)
                hf_options_dump(options, stdout);
        return given->help || given->version || given->dump;
}
