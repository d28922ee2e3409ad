/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/verb.h"

#include "cli/message.h"

#include "base/cleanup.h"

#include <string.h>

struct main_options {
        struct hf_standard_options standard;
};

static const struct hf_option main_table[] = {
        HF_STANDARD_OPTIONS(struct main_options, standard),
};

int hf_verb_options(const struct hf_options *options, int argc, char **argv, void *out,
                    const struct hf_standard_options *standard, int *ret_first, int *ret_status)
{
        struct hf_error error = {0};

        if (hf_options_parse(options, argc, argv, out, ret_first, &error) < 0) {
                hf_message("%s", error.text);
                *ret_status = HF_EXIT_USAGE;
                return -EINVAL;
        }
        if (hf_options_answer(options, standard, HF_VERSION_LINE)) {
                *ret_status = HF_EXIT_OK;
                return -ECANCELED;
        }
        return 0;
}

static void list(const struct hf_verbs *verbs)
{
        size_t width = 0;

        for (size_t i = 0; i < verbs->n; i++)
                if (strlen(verbs->verbs[i].name) > width)
                        width = strlen(verbs->verbs[i].name);
        printf("\nVerbs:\n");
        for (size_t i = 0; i < verbs->n; i++)
                printf("  %-*s  %s\n", (int)width, verbs->verbs[i].name, verbs->verbs[i].summary);
        printf("\n\"%s VERB --help\" tells more.\n", verbs->program);
}

static int run(const struct hf_verbs *verbs, int argc, char **argv)
{
        /* What stands between the command and its verb is a verb as well. */
        const char *between = strchrnul(verbs->program, ' ');

        for (size_t i = 0; i < verbs->n; i++)
                if (!strcmp(verbs->verbs[i].name, argv[0]))
                        return verbs->verbs[i].run(argc, argv);
        hf_message("there is no verb \"%s%s%s\"; see '%s --help'", *between ? between + 1 : "",
                   *between ? " " : "", argv[0], verbs->program);
        return HF_EXIT_USAGE;
}

int hf_verbs_main(const struct hf_verbs *verbs, int argc, char **argv)
{
        const struct hf_options options = {
                .program = verbs->program,
                .usage = "VERB [OPTION]... [ARGUMENT]...",
                .summary = verbs->summary,
                .table = main_table,
                .n = HF_ARRAY_LEN(main_table),
                .stop_early = true,
        };
        struct main_options given = {0};
        int first, status;

        if (hf_verb_options(&options, argc, argv, &given, &given.standard, &first, &status) < 0) {
                if (given.standard.help)
                        list(verbs);
                return status;
        }
        if (first == argc) {
                hf_message("which verb? See '%s --help'", verbs->program);
                return HF_EXIT_USAGE;
        }
        return run(verbs, argc - first, argv + first);
}
