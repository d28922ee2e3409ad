/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * holdfast-sanlock: what `holdfast sanlock` becomes, with the same words, so that the command
 * itself needs no libsanlock.
 */
#include "sanlock/verbs.h"

#include "cli/message.h"
#include "cli/verb.h"

#include "base/cleanup.h"

#include <string.h>

static const struct hf_verb verbs[] = {
        {"init", "make a lockspace, with times of your choice", hf_sanlock_verb_init},
        {"join", "join a lockspace, so that the first VM need not wait for it",
         hf_sanlock_verb_join},
        {"leave", "leave a lockspace that no VM uses", hf_sanlock_verb_leave},
        {"status", "show lockspaces, hosts, leases and how long things take",
         hf_sanlock_verb_status},
        {"cleanup", "remove leases of disks that were not used for long", hf_sanlock_verb_cleanup},
        {"resume", "take back the leases of a VM that was paused when it lost them",
         hf_sanlock_verb_resume},
};

struct main_options {
        struct hf_standard_options standard;
};

static const struct hf_option option_table[] = {
        HF_STANDARD_OPTIONS(struct main_options, standard),
};

static const struct hf_options main_options = {
        .program = "holdfast sanlock",
        .usage = "VERB [OPTION]... [ARGUMENT]...",
        .summary = "Works with leases on shared storage, by the host's sanlock daemon.",
        .table = option_table,
        .n = HF_ARRAY_LEN(option_table),
        .stop_early = true,
};

static void list_verbs(void)
{
        printf("\nVerbs:\n");
        for (size_t i = 0; i < HF_ARRAY_LEN(verbs); i++)
                printf("  %-9s%s\n", verbs[i].name, verbs[i].summary);
        printf("\n\"holdfast sanlock VERB --help\" tells more.\n");
}

static int run_verb(int argc, char **argv)
{
        for (size_t i = 0; i < HF_ARRAY_LEN(verbs); i++)
                if (!strcmp(verbs[i].name, argv[0]))
                        return verbs[i].run(argc, argv);
        hf_message("there is no verb \"sanlock %s\"; see 'holdfast sanlock --help'", argv[0]);
        return HF_EXIT_USAGE;
}

int main(int argc, char **argv)
{
        struct main_options given = {0};
        int first, status;

        if (hf_verb_options(&main_options, argc, argv, &given, &given.standard, &first, &status) <
            0) {
                if (given.standard.help)
                        list_verbs();
                return status;
        }
        if (first == argc) {
                hf_message("which verb? See 'holdfast sanlock --help'");
                return HF_EXIT_USAGE;
        }
        return run_verb(argc - first, argv + first);
}
