/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Dangers: what makes a lock worth less than it seems, found before a VM starts. The lock
 * keeps what it promises; what it promises may not be enough.
 *
 * Each has a key for programs and a sentence for people that says what to do.
 *
 *   no-reach            other hosts use this filesystem too, and do not respect the lock
 *   device-node         the lock is on a node of this host; others may have the same disk
 *   local-lockspace     other hosts may have the disk, and cannot have its lock file
 *   recover-lost-locks  this kernel takes lost locks again, so that a loss is not noticed
 *   same-client-id      another host has our NFS client id: the server takes one for the other
 *   other-lockspace     another host locks this disk in another place
 *   other-path          another host locks this disk by the hash of another path to it
 */

#include "cli/plan.h"

#define HF_DANGER_TEXT_MAX 1024

struct hf_danger {
        const char *key;
        bool among_hosts; /* two hosts are at odds: of the last three kinds */
        char text[HF_DANGER_TEXT_MAX];
};

typedef void (*hf_danger_fn)(void *ctx, const struct hf_danger *danger);

/*
 * Tells of all dangers of an image whose lock is wanted. May wait for its filesystem.
 * What cannot be found out is none.
 */
void hf_dangers_of_image(const struct hf_plan_image *image, hf_danger_fn tell, void *ctx);

/*
 * The same for an image, a file, that this VM has locked. Where that is by a file of a lockspace
 * directory, word of it is left beside the image, for hosts that would lock it elsewhere: a hint,
 * that nobody misses if it cannot be left.
 */
void hf_dangers_at_start(const struct hf_plan_image *image, const struct hf_plan *plan,
                         hf_danger_fn tell, void *ctx);
