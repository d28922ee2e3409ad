/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* What a policy is made of: policy-parse.c makes it, policy.c judges by it. */

#include "prhelper/policy.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hf_pr_rule {
        bool allow;
        bool has_uid;
        uid_t uid;
        uint32_t in_actions, out_actions; /* bit N: service action N */
        char *vm;                         /* NULL: any */
        char *device;                     /* NULL: any */
        uint64_t *keys;                   /* n_keys of them; none: any */
        size_t n_keys;
};

struct hf_pr_policy {
        struct hf_pr_rule *rules;
        size_t n;
};
