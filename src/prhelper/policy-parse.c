/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "prhelper/policy-private.h"

#include "base/cleanup.h"

#include <ctype.h>
#include <pwd.h>
#include <string.h>

/*
 * Reading rules: "deny", then words NAME=VALUE with blanks between them. A value that has blanks
 * stands in quotation marks of either kind. What is not understood is refused, for a rule that
 * means less than its author thinks is worse than none.
 */

/* Each command is held against each rule, and each device of a rule costs a system call. */
#define RULES_MAX 256

static int bad(struct hf_error *err, const char *what, const char *word)
{
        return hf_error_set(err, EINVAL, HF_ERR_CONFIG_UNSUPPORTED, HF_FROM_NONE, "%s: \"%s\"",
                            what, word);
}

static int no_memory(struct hf_error *err)
{
        return hf_error_sys(err, ENOMEM, "cannot keep the rules");
}

static void rule_clear(struct hf_pr_rule *rule)
{
        free(rule->vm);
        free(rule->device);
        free(rule->keys);
}

void hf_pr_policy_free(struct hf_pr_policy *policy)
{
        if (!policy)
                return;
        for (size_t i = 0; i < policy->n; i++)
                rule_clear(&policy->rules[i]);
        free(policy->rules);
        free(policy);
}

static void policy_freep(struct hf_pr_policy **policy)
{
        hf_pr_policy_free(*policy);
}

static int read_number(const char *text, int base, uint64_t max, uint64_t *ret)
{
        char *end;
        unsigned long long number;

        errno = 0;
        number = strtoull(text, &end, base);
        if (!isxdigit((unsigned char)*text) || *end || errno || number > max)
                return -EINVAL;
        *ret = number;
        return 0;
}

static int read_user(struct hf_pr_rule *rule, char *value, struct hf_error *err)
{
        const struct passwd *entry;
        uint64_t uid;

        rule->has_uid = true;
        /* The largest number stands for "none" in the kernel's calls. */
        if (read_number(value, 10, UINT32_MAX - 1, &uid) == 0) {
                rule->uid = (uid_t)uid;
                return 0;
        }
        entry = getpwnam(value);
        if (!entry)
                return bad(err, "there is no such user", value);
        rule->uid = entry->pw_uid;
        return 0;
}

static int read_vm(struct hf_pr_rule *rule, char *value, struct hf_error *err)
{
        rule->vm = strdup(value);
        return rule->vm ? 0 : no_memory(err);
}

static int read_device(struct hf_pr_rule *rule, char *value, struct hf_error *err)
{
        if (value[0] != '/')
                return bad(err, "the path of a device has to begin with \"/\"", value);
        rule->device = strdup(value);
        return rule->device ? 0 : no_memory(err);
}

static bool add_action(struct hf_pr_rule *rule, const char *name)
{
        bool known = true;

        if (!strcmp(name, "in"))
                rule->in_actions = UINT32_MAX;
        else if (!strcmp(name, "out"))
                rule->out_actions = UINT32_MAX;
        else
                known = false;
        for (unsigned int i = 0; i < 32; i++) {
                const char *in = hf_pr_in_name(i), *out = hf_pr_out_name(i);

                if (in && !strcmp(in, name))
                        rule->in_actions |= UINT32_C(1) << i;
                else if (out && !strcmp(out, name))
                        rule->out_actions |= UINT32_C(1) << i;
                else
                        continue;
                known = true;
        }
        return known;
}

static int read_action(struct hf_pr_rule *rule, char *value, struct hf_error *err)
{
        for (char *name; (name = strsep(&value, ","));)
                if (!add_action(rule, name))
                        return bad(err, "there is no such action", name);
        return 0;
}

static int read_key(struct hf_pr_rule *rule, char *value, struct hf_error *err)
{
        for (char *word; (word = strsep(&value, ","));) {
                uint64_t key, *keys;

                if (strncasecmp(word, "0x", 2) || read_number(word + 2, 16, UINT64_MAX, &key) < 0)
                        return bad(err, "a key is written as 0x1234abcd", word);
                if (!key)
                        return bad(err, "0 is no key", word);
                keys = reallocarray(rule->keys, rule->n_keys + 1, sizeof(*keys));
                if (!keys)
                        return no_memory(err);
                keys[rule->n_keys++] = key;
                rule->keys = keys;
        }
        return 0;
}

static const struct word {
        const char *name;
        int (*read)(struct hf_pr_rule *rule, char *value, struct hf_error *err);
} words[] = {
        {"user", read_user},     {"vm", read_vm},   {"device", read_device},
        {"action", read_action}, {"key", read_key},
};

/* Cuts the first word off *text, which then stands behind it; NULL at the end. */
static char *next_word(char **text, struct hf_error *err, int *ret_error)
{
        char *word = *text + strspn(*text, " \t\n"), *at = word, *to = word, quote = '\0';

        if (!*word)
                return NULL;
        for (; *at && (quote || !strchr(" \t\n", *at)); at++) {
                if (quote ? *at == quote : *at == '\'' || *at == '"')
                        quote = quote ? '\0' : *at;
                else
                        *to++ = *at;
        }
        if (quote)
                *ret_error = bad(err, "a quotation mark is missing", word);
        *text = *at ? at + 1 : at;
        *to = '\0';
        return word;
}

static int read_word(struct hf_pr_rule *rule, char *word, unsigned int *seen, struct hf_error *err)
{
        char *value = strchr(word, '=');

        for (size_t i = 0; value && i < HF_ARRAY_LEN(words); i++) {
                size_t len = (size_t)(value - word);

                if (strlen(words[i].name) != len || strncmp(words[i].name, word, len))
                        continue;
                if (*seen & (1U << i))
                        return bad(err, "this is said twice", word);
                if (!value[1])
                        return bad(err, "nothing behind the \"=\"", word);
                *seen |= 1U << i;
                return words[i].read(rule, value + 1, err);
        }
        return bad(err, "a rule has the words user=, vm=, device=, action= and key=, not", word);
}

static int read_rule(char *text, struct hf_pr_rule *rule, struct hf_error *err)
{
        unsigned int seen = 0;
        int r = 0;
        char *word = next_word(&text, err, &r);

        if (r < 0)
                return r;
        if (!word || (strcmp(word, "allow") && strcmp(word, "deny")))
                return bad(err, "a rule begins with \"allow\" or \"deny\", not", word ? word : "");
        rule->allow = !strcmp(word, "allow");
        while (r >= 0 && (word = next_word(&text, err, &r)))
                if (r >= 0)
                        r = read_word(rule, word, &seen, err);
        if (!rule->in_actions && !rule->out_actions)
                rule->in_actions = rule->out_actions = UINT32_MAX;
        return r;
}

int hf_pr_policy_parse(char *const *rules, struct hf_pr_policy **ret, struct hf_error *err)
{
        hf_cleanup(policy_freep) struct hf_pr_policy *policy = calloc(1, sizeof(*policy));
        size_t n = 0;

        while (rules && rules[n])
                n++;
        if (n > RULES_MAX)
                return hf_error_set(err, EINVAL, HF_ERR_CONFIG_UNSUPPORTED, HF_FROM_NONE,
                                    "%zu rules; there may be %d", n, RULES_MAX);
        if (!policy || !(policy->rules = calloc(n + 1, sizeof(*policy->rules))))
                return no_memory(err);
        for (size_t i = 0; i < n; i++) {
                hf_cleanup_free char *text = strdup(rules[i]);
                int r;

                if (!text)
                        return no_memory(err);
                policy->n = i + 1;
                r = read_rule(text, &policy->rules[i], err);
                if (r < 0) {
                        hf_error_prefix(err, "rule %zu", i + 1);
                        return r;
                }
        }
        *ret = hf_steal_ptr(policy);
        return 0;
}
