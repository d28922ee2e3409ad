/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * holdfast-sanlock: finds the verb of `holdfast sanlock`; all else is the verb's.
 */

#include "cli/message.h"
#include "cli/print.h"
#include "sanlock/tool.h"

#include "base/cleanup.h"

#include <string.h>

static const struct hf_verb verbs[] = {
        {"init", "make a lockspace, with times of your choice", hf_tool_init},
        {"join", "join a lockspace, so that the first VM need not wait for it", hf_tool_join},
        {"leave", "leave a lockspace that no VM uses", hf_tool_leave},
        {"status", "show lockspaces, hosts, leases and how long things take", hf_tool_status},
        {"cleanup", "remove leases of disks that were not used for long", hf_tool_cleanup},
};

static int list_verbs(void)
{
        printf("Usage: holdfast sanlock VERB [OPTION]...\n"
               "Leases on shared storage, by the sanlock daemon of this host.\n\nVerbs:\n");
        for (size_t i = 0; i < HF_ARRAY_LEN(verbs); i++)
                printf("  %-8s%s\n", verbs[i].name, verbs[i].summary);
        printf("\n\"holdfast sanlock VERB --help\" tells more.\n");
        return hf_print_end(HF_EXIT_OK);
}

int main(int argc, char **argv)
{
        if (argc < 2) {
                hf_message("sanlock what? See 'holdfast sanlock --help'");
                return HF_EXIT_USAGE;
        }
        if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"))
                return list_verbs();
        for (size_t i = 0; i < HF_ARRAY_LEN(verbs); i++)
                if (!strcmp(verbs[i].name, argv[1]))
                        return verbs[i].run(argc - 1, argv + 1);
        hf_message("sanlock has no verb \"%s\"; see 'holdfast sanlock --help'", argv[1]);
        return HF_EXIT_USAGE;
}
