/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Any text as rules, one a line, and questions to what comes of them: a rule that denies is one of
 * those that there are, and what the first one denies, it denies whatever follows.
 */

#include "fuzz.h"

#include "base/cleanup.h"
#include "base/strv.h"
#include "prhelper/policy.h"

#include <string.h>

static char **read_lines(const uint8_t *data, size_t size)
{
        const char *at = (const char *)data, *end = at + size;
        char **lines = NULL;

        while (at < end) {
                const char *stop = memchr(at, '\n', (size_t)(end - at));
                size_t len = (size_t)((stop ? stop : end) - at);

                FUZZ_PROMISE(hf_strv_append_n(&lines, at, len) >= 0);
                at += len + 1;
        }
        return lines;
}

static int ask(const struct hf_pr_policy *policy, const struct hf_pr_question *question, size_t n)
{
        int rule = hf_pr_policy_judge(policy, question);

        FUZZ_PROMISE(rule >= 0 && (size_t)rule <= n);
        return rule;
}

/* Questions with and without a VM and keys. The same question has the same answer. */
static void ask_all(const struct hf_pr_policy *policy, size_t n, bool all_denied)
{
        static const char *const vms[] = {"", "db", "my vm"};

        for (unsigned int i = 0; i < 64; i++) {
                struct hf_pr_peer peer = {.uid = i % 2 ? 0 : 1000};
                struct stat device = {.st_mode = S_IFBLK, .st_rdev = i};
                struct hf_pr_out out = {
                        .action = (uint8_t)(i % 32), .key = i % 3, .new_key = i % 5};
                struct hf_pr_question question = {
                        .peer = &peer, .device = &device, .out = i % 7 ? &out : NULL, .in = i % 32};
                int rule;

                (void)strcpy(peer.vm, vms[i % HF_ARRAY_LEN(vms)]);
                rule = ask(policy, &question, n);
                FUZZ_PROMISE(rule == ask(policy, &question, n));
                FUZZ_PROMISE(!all_denied || rule == 1);
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        hf_cleanup_strv char **rules = read_lines(data, size);
        struct hf_pr_policy *policy = NULL;
        struct hf_error err = {0};

        if (hf_pr_policy_parse(rules, &policy, &err) < 0) {
                FUZZ_PROMISE(*err.text && !policy);
                return 0;
        }
        FUZZ_PROMISE(policy && !*err.text);
        ask_all(policy, hf_strv_len(rules), rules && !strcmp(rules[0], "deny"));
        hf_pr_policy_free(policy);
        return 0;
}
