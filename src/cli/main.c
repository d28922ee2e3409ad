/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * holdfast: the command. Finds the verb; all else is the verb's.
 */

#include "cli/verb.h"

#include "base/cleanup.h"

static const struct hf_verb verbs[] = {
        {"run", "start a VM with its disks locked", hf_verb_run},
        {"lock", "run a command with disks locked", hf_verb_lock},
        {"check", "tell whether a VM would start here, and if not, why", hf_verb_check},
        {"ps", "list VMs and what they hold", hf_verb_ps},
        {"who", "tell who holds a disk", hf_verb_who},
        {"label", "list and repair owners and labels of images", hf_verb_label},
        {"console", "connect to the console of a VM: one writes, others watch", hf_verb_console},
        {"explain", "tell all about who holds a disk, and what to do", hf_verb_explain},
        {"events", "tell what happens to locks, as it happens", hf_verb_events},
        {"pr", "persistent reservations of a disk, through a helper", hf_verb_pr},
        {"sanlock", "leases on shared storage: lockspaces, hosts, what is unused", hf_verb_sanlock},
        {"adopt", "make a running virtlockd a holdfastd, and back", hf_verb_adopt},
        {"metrics", "show the daemon's numbers, for a monitor", hf_verb_metrics},
};

int main(int argc, char **argv)
{
        const struct hf_verbs program = {
                .program = "holdfast",
                .summary = "Makes sure that a disk belongs to one virtual machine at a time.",
                .verbs = verbs,
                .n = HF_ARRAY_LEN(verbs),
        };

        return hf_verbs_main(&program, argc, argv);
}
