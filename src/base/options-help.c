/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/options.h"

#include <string.h>

/*
 * What a table of options looks like in print.
 *
 *   -t, --timeout=SECONDS   text that starts in one column and, where it is
 *                           long, goes on in the same column
 */

#define WIDTH 80

/* The text's column never moves further right; a longer option gets a line of its own. */
#define COLUMN_MAX 32

/* Room for the longest name and argument that fit a line. */
#define LABEL_MAX 80

/* What stands around an argument: of "--long=ARG", "-s ARG", "--long[=ARG]", "-s[ARG]". */
static void around(const struct hf_option *option, const char **ret_before, const char **ret_after)
{
        const char *sign = option->long_name ? "=" : " ";

        *ret_before = *ret_after = "";
        if (!option->argument)
                return;
        *ret_before = !option->optional ? sign : option->long_name ? "[=" : "[";
        if (option->optional)
                *ret_after = "]";
}

/* "-s, --long=ARG"; what is missing leaves no trace. */
static size_t format_label(const struct hf_option *option, char *text, size_t size)
{
        const char *argument = option->argument ? option->argument : "", *before, *after;
        char short_part[8] = "";

        around(option, &before, &after);
        if (option->short_name)
                (void)snprintf(short_part, sizeof(short_part), "-%c", option->short_name);
        if (option->long_name)
                (void)snprintf(text, size, "%s%s--%s%s%s%s", short_part,
                               option->short_name ? ", " : "", option->long_name, before, argument,
                               after);
        else
                (void)snprintf(text, size, "%s%s%s%s", short_part, before, argument, after);
        return strlen(text);
}

static bool is_visible(const struct hf_option *option)
{
        return option->kind != HF_OPTION_HEADING && option->help;
}

/* Prints words from column `at` on, in lines that begin at column `indent`. */
static void print_wrapped(FILE *file, const char *text, size_t indent, size_t at)
{
        size_t column = at;

        for (const char *word = text; *word;) {
                size_t len = strcspn(word, " ");

                if (column > indent && column + 1 + len > WIDTH - 1) {
                        (void)fputc('\n', file);
                        column = 0;
                }
                if (column < indent)
                        column += (size_t)fprintf(file, "%*s", (int)(indent - column), "");
                else if (column > indent)
                        column += (size_t)fprintf(file, " ");
                column += (size_t)fprintf(file, "%.*s", (int)len, word);
                word += len;
                word += strspn(word, " ");
        }
        (void)fputc('\n', file);
}

static size_t text_column(const struct hf_options *options)
{
        char label[LABEL_MAX];
        size_t column = 0;

        for (size_t i = 0; i < options->n; i++) {
                size_t len;

                if (!is_visible(&options->table[i]))
                        continue;
                len = 2 + format_label(&options->table[i], label, sizeof(label)) + 2;
                if (len > column && len <= COLUMN_MAX)
                        column = len;
        }
        return column ? column : COLUMN_MAX;
}

static void print_option(FILE *file, const struct hf_option *option, size_t column)
{
        char label[LABEL_MAX];
        size_t at = 2 + format_label(option, label, sizeof(label));

        (void)fprintf(file, "  %s", label);
        if (at + 2 > column) {
                (void)fputc('\n', file);
                at = 0;
        }
        print_wrapped(file, option->help, column, at);
}

void hf_options_help(const struct hf_options *options, FILE *file)
{
        size_t column = text_column(options);

        (void)fprintf(file, "Usage: %s %s\n", options->program, options->usage);
        if (options->summary)
                print_wrapped(file, options->summary, 0, 0);
        (void)fputc('\n', file);
        for (size_t i = 0; i < options->n; i++) {
                const struct hf_option *option = &options->table[i];

                if (option->kind == HF_OPTION_HEADING)
                        (void)fprintf(file, "%s%s:\n", i ? "\n" : "", option->help);
                else if (is_visible(option))
                        print_option(file, option, column);
        }
}

void hf_options_dump(const struct hf_options *options, FILE *file)
{
        char label[LABEL_MAX];

        for (size_t i = 0; i < options->n; i++) {
                if (!is_visible(&options->table[i]))
                        continue;
                (void)format_label(&options->table[i], label, sizeof(label));
                (void)fprintf(file, "%s\n", label);
        }
}
