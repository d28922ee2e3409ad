/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Rules: which peers may do which actions with which keys on which devices. In pr-policy.conf each
 * is a string of words, and the first that fits decides; when none does, it is allowed.
 *
 *   allow|deny [user=NAME|UID] [vm=NAME] [device=PATH] [action=WORD,WORD...] [key=0xHEX,0xHEX...]
 *
 * A word that is not there fits everything. action: the names of hf_pr_out_name and hf_pr_in_name,
 * "in" and "out" for all of a command. key: each key that the command carries has to be among
 * them for an allow, one of them for a deny (0 is no key, but as the one to preempt, every key).
 * vm: what peer.h found; a peer of which that is not known fits no vm= of an allow, and every vm=
 * of a deny. device: any path to it, or to a partition or the generic node of the same disk; of a
 * deny also what stands on it. A value with blanks stands in quotation marks.
 */

#include "prhelper/peer.h"

#include "scsi/pr.h"

#include "base/error.h"

#include <sys/stat.h>

struct hf_pr_policy;

/* -EINVAL with the rule, counted from 1, and the word that was not understood; -ENOMEM. */
int hf_pr_policy_parse(char *const *rules, struct hf_pr_policy **ret, struct hf_error *err);
void hf_pr_policy_free(struct hf_pr_policy *policy);

/* What is asked for. out is NULL for an IN command, whose action is then in `in`. */
struct hf_pr_question {
        const struct hf_pr_peer *peer;
        const struct stat *device;
        const struct hf_pr_out *out;
        unsigned int in;
};

/*
 * The action, type, keys and APTPL of an OUT command as far as its bytes have them, for one that
 * hf_pr_out_decode refuses: what we do not understand, a device may, and its keys are judged.
 */
void hf_pr_policy_read(const uint8_t cdb[static HF_PR_CDB_SIZE], const uint8_t *list, size_t n,
                       struct hf_pr_out *ret);

/*
 * 0: allowed. Otherwise the number of the rule that denies, from 1; where a rule's device cannot be
 * looked at, a deny fits and an allow does not. policy NULL: all is allowed. Looks at the rules'
 * devices (stat, and links of /sys), reads and opens nothing. The answer to the peer is 5/20/00
 * (what a device says to a command that it does not have).
 */
int hf_pr_policy_judge(const struct hf_pr_policy *policy, const struct hf_pr_question *question);
