/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * holdfast-sanlock: what `holdfast sanlock` becomes, with the same words, so that the command
 * itself needs no libsanlock.
 */
#include "sanlock/verbs.h"

#include "cli/verb.h"

#include "base/cleanup.h"

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

int main(int argc, char **argv)
{
        const struct hf_verbs program = {
                .program = "holdfast sanlock",
                .summary = "Works with leases on shared storage, by the host's sanlock daemon.",
                .verbs = verbs,
                .n = HF_ARRAY_LEN(verbs),
        };

        return hf_verbs_main(&program, argc, argv);
}
