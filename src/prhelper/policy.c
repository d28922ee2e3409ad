/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "prhelper/policy-private.h"

#include "prhelper/disk.h"

#include "base/cleanup.h"
#include "scsi/bytes.h"

#include <string.h>

/*
 * Judging: whether a rule fits a question, word by word. In doubt a rule that denies fits and one
 * that allows does not, so that a doubt never lets anybody do more.
 */

static bool fits_user(const struct hf_pr_rule *rule, const struct hf_pr_question *question)
{
        return !rule->has_uid || rule->uid == question->peer->uid;
}

static bool fits_vm(const struct hf_pr_rule *rule, const struct hf_pr_question *question)
{
        if (!rule->vm)
                return true;
        if (!*question->peer->vm)
                return !rule->allow;
        return !strcmp(rule->vm, question->peer->vm);
}

static bool fits_action(const struct hf_pr_rule *rule, const struct hf_pr_question *question)
{
        unsigned int action = question->out ? question->out->action : question->in;
        uint32_t actions = question->out ? rule->out_actions : rule->in_actions;

        return action < 32 && (actions & (UINT32_C(1) << action));
}

static bool has_key(const struct hf_pr_rule *rule, uint64_t key)
{
        for (size_t i = 0; i < rule->n_keys; i++)
                if (rule->keys[i] == key)
                        return true;
        return false;
}

/*
 * An allow vouches for every key, so one that it does not name is too many; a deny is about each
 * of its keys. A command without keys is nothing that a deny could mean; but where all registrants
 * hold a reservation, to preempt the key 0 is to preempt all of theirs.
 */
static bool fits_key(const struct hf_pr_rule *rule, const struct hf_pr_question *question)
{
        uint64_t keys[2] = {0};

        if (!rule->n_keys)
                return true;
        if (question->out) {
                keys[0] = question->out->key;
                keys[1] = question->out->new_key;
        }
        if (question->out && !keys[1] &&
            (question->out->action == HF_PR_PREEMPT ||
             question->out->action == HF_PR_PREEMPT_AND_ABORT))
                return !rule->allow;
        for (size_t i = 0; i < HF_ARRAY_LEN(keys); i++)
                if (keys[i] && has_key(rule, keys[i]) != rule->allow)
                        return !rule->allow;
        return rule->allow;
}

/* Last of all, as it asks the kernel; the path may lead elsewhere today than yesterday. */
static bool fits_device(const struct hf_pr_rule *rule, const struct hf_pr_question *question)
{
        struct stat st;

        if (!rule->device)
                return true;
        if (stat(rule->device, &st) < 0)
                return !rule->allow;
        /* What is sent to a volume ends on its disk. */
        return rule->allow ? hf_pr_same_disk(HF_PR_SYSFS, &st, question->device)
                           : hf_pr_stands_on(HF_PR_SYSFS, question->device, &st);
}

static bool fits(const struct hf_pr_rule *rule, const struct hf_pr_question *question)
{
        return fits_user(rule, question) && fits_action(rule, question) &&
               fits_vm(rule, question) && fits_key(rule, question) && fits_device(rule, question);
}

int hf_pr_policy_judge(const struct hf_pr_policy *policy, const struct hf_pr_question *question)
{
        if (!policy)
                return 0;
        for (size_t i = 0; i < policy->n; i++)
                if (fits(&policy->rules[i], question))
                        return policy->rules[i].allow ? 0 : (int)i + 1;
        return 0;
}

void hf_pr_policy_read(const uint8_t cdb[static HF_PR_CDB_SIZE], const uint8_t *list, size_t n,
                       struct hf_pr_out *ret)
{
        *ret = (struct hf_pr_out){
                .action = cdb[1] & 0x1f,
                .scope = cdb[2] >> 4,
                .type = cdb[2] & 0x0f,
                .key = n >= 8 ? hf_get64(list) : 0,
                .new_key = n >= 16 ? hf_get64(list + 8) : 0,
                .aptpl = n > 20 && list[20] & 0x01,
        };
}
