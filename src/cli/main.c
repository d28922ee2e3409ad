/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * holdfast: the command. Finds the verb; all else is the verb's.
 */

#include "cli/message.h"
#include "cli/verb.h"

#include "base/cleanup.h"

#include <holdfast/holdfast.h>
#include <string.h>

static const struct hf_verb verbs[] = {
        {"run", "start a VM with its disks locked", hf_verb_run},
        {"lock", "run a command with disks locked", hf_verb_lock},
        {"check", "tell whether a VM would start here, and if not, why", hf_verb_check},
        {"ps", "list VMs and what they hold", hf_verb_ps},
        {"who", "tell who holds a disk", hf_verb_who},
        {"label", "list and repair owners and labels of images", hf_verb_label},
        {"explain", "tell all about who holds a disk, and what to do", hf_verb_explain},
        {"events", "tell what happens to locks, as it happens", hf_verb_events},
        {"sanlock", "leases on shared storage: lockspaces, hosts, what is unused", hf_verb_sanlock},
        {"metrics", "show the daemon's numbers, for a monitor", hf_verb_metrics},
};

struct main_options {
        struct hf_standard_options standard;
};

static const struct hf_option option_table[] = {
        HF_STANDARD_OPTIONS(struct main_options, standard),
};

static const struct hf_options main_options = {
        .program = "holdfast",
        .usage = "VERB [OPTION]... [ARGUMENT]...",
        .summary = "Makes sure that a disk belongs to one virtual machine at a time.",
        .table = option_table,
        .n = HF_ARRAY_LEN(option_table),
        .stop_early = true,
};

static void list_verbs(void)
{
        printf("\nVerbs:\n");
        for (size_t i = 0; i < HF_ARRAY_LEN(verbs); i++)
                printf("  %-8s%s\n", verbs[i].name, verbs[i].summary);
        printf("\n\"holdfast VERB --help\" tells more.\n");
}

static int run_verb(int argc, char **argv)
{
        for (size_t i = 0; i < HF_ARRAY_LEN(verbs); i++)
                if (!strcmp(verbs[i].name, argv[0]))
                        return verbs[i].run(argc, argv);
        hf_message("there is no verb \"%s\"; see 'holdfast --help'", argv[0]);
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
                hf_message("which verb? See 'holdfast --help'");
                return HF_EXIT_USAGE;
        }
        return run_verb(argc - first, argv + first);
}
