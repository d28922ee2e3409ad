/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "prhelper/policy.h"

#include "base/cleanup.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static struct hf_pr_peer peer;
static struct stat device;
static struct hf_pr_out out;

static int setup(void **state)
{
        (void)state;
        peer = (struct hf_pr_peer){.pid = 7, .uid = 1000, .vm = "web"};
        out = (struct hf_pr_out){.action = HF_PR_REGISTER, .new_key = 0x11};
        return stat("/dev/null", &device);
}

static int judge_rules(const char *const *rules, const struct hf_pr_out *asked, unsigned int in)
{
        const struct hf_pr_question question = {
                .peer = &peer, .device = &device, .out = asked, .in = in};
        struct hf_pr_policy *policy = NULL;
        struct hf_error err = {0};
        int rule;

        if (hf_pr_policy_parse((char *const *)(uintptr_t)rules, &policy, &err) < 0)
                fail_msg("%s", err.text);
        rule = hf_pr_policy_judge(policy, &question);
        hf_pr_policy_free(policy);
        return rule;
}

#define RULES(...) ((const char *const[]){__VA_ARGS__, NULL})

static int judge(const char *const *rules)
{
        return judge_rules(rules, &out, 0);
}

static int judge_in(const char *const *rules, unsigned int action)
{
        return judge_rules(rules, NULL, action);
}

static void without_rules_everything_is_allowed(void **state)
{
        const struct hf_pr_question question = {.peer = &peer, .device = &device, .out = &out};

        (void)state;
        assert_int_equal(judge(RULES(NULL)), 0);
        assert_int_equal(hf_pr_policy_judge(NULL, &question), 0);
}

static void the_first_rule_that_fits_decides_and_is_named(void **state)
{
        (void)state;
        assert_int_equal(judge(RULES("deny user=7", "deny user=1000", "allow")), 2);
        assert_int_equal(judge(RULES("allow user=1000", "deny")), 0);
        assert_int_equal(judge(RULES("deny")), 1);
}

static void users_are_known_by_name_too(void **state)
{
        (void)state;
        peer.uid = 0;
        assert_int_equal(judge(RULES("deny user=root")), 1);
        peer.uid = 1;
        assert_int_equal(judge(RULES("deny user=root")), 0);
}

static void a_vm_that_is_not_known_is_allowed_nothing_and_denied_all(void **state)
{
        (void)state;
        assert_int_equal(judge(RULES("allow vm=web", "deny")), 0);
        assert_int_equal(judge(RULES("allow vm=db", "deny")), 2);
        assert_int_equal(judge(RULES("deny vm=db")), 0);
        peer.vm[0] = '\0';
        assert_int_equal(judge(RULES("allow vm=web", "deny")), 2);
        assert_int_equal(judge(RULES("deny vm=db")), 1);
}

static void a_value_with_blanks_stands_in_quotation_marks(void **state)
{
        (void)state;
        (void)strcpy(peer.vm, "my vm");
        assert_int_equal(judge(RULES("deny vm='my vm' user=1000")), 1);
        assert_int_equal(judge(RULES("deny vm=\"my vm\"")), 1);
}

static void actions_of_both_commands_are_told_apart(void **state)
{
        (void)state;
        assert_int_equal(judge(RULES("deny action=clear,register")), 1);
        assert_int_equal(judge(RULES("deny action=clear,read-keys")), 0);
        assert_int_equal(judge(RULES("deny action=in")), 0);
        assert_int_equal(judge(RULES("deny action=out")), 1);
        assert_int_equal(judge_in(RULES("deny action=out,read-keys"), HF_PR_READ_KEYS), 1);
        assert_int_equal(judge_in(RULES("deny action=out,read-keys"), HF_PR_READ_FULL_STATUS), 0);
}

static void in_and_out_mean_unknown_actions_too(void **state)
{
        (void)state;
        out.action = 0x1f;
        assert_int_equal(judge(RULES("deny action=out")), 1);
        assert_int_equal(judge_in(RULES("deny action=in"), 0x1f), 1);
        assert_int_equal(judge(RULES("allow action=register,reserve", "deny")), 2);
}

static void an_allow_vouches_for_every_key(void **state)
{
        (void)state;
        assert_int_equal(judge(RULES("allow key=0x11,0x22", "deny")), 0);
        out.key = 0x22;
        assert_int_equal(judge(RULES("allow key=0x11,0x22", "deny")), 0);
        out.key = 0x33;
        assert_int_equal(judge(RULES("allow key=0x11,0x22", "deny")), 2);
}

static void a_deny_is_about_each_of_its_keys(void **state)
{
        (void)state;
        out.key = 0x33;
        assert_int_equal(judge(RULES("deny key=0x22,0x33")), 1);
        assert_int_equal(judge(RULES("deny key=0x22")), 0);
        assert_int_equal(judge_in(RULES("deny key=0x22"), HF_PR_READ_KEYS), 0);
        assert_int_equal(judge_in(RULES("allow key=0x22", "deny"), HF_PR_READ_KEYS), 0);
}

static void to_preempt_the_key_0_is_to_preempt_every_key(void **state)
{
        (void)state;
        out = (struct hf_pr_out){.action = HF_PR_PREEMPT, .key = 0x11};
        assert_int_equal(judge(RULES("allow key=0x11", "deny")), 2);
        assert_int_equal(judge(RULES("deny key=0x33")), 1);
        out.new_key = 0x11;
        assert_int_equal(judge(RULES("allow key=0x11", "deny")), 0);
        assert_int_equal(judge(RULES("deny key=0x33")), 0);
}

static void a_device_is_known_by_any_path(void **state)
{
        char link[] = "/tmp/hf-policy-XXXXXX";
        hf_cleanup_free char *rule = NULL;

        (void)state;
        assert_true(mkdtemp(link));
        assert_int_equal(rmdir(link), 0);
        assert_int_equal(symlink("/dev/null", link), 0);
        assert_true(asprintf(&rule, "deny device=%s", link) > 0);
        assert_int_equal(judge(RULES(rule)), 1);
        (void)unlink(link);
        assert_int_equal(judge(RULES("deny device=/dev/zero")), 0);
}

static void a_device_that_cannot_be_looked_at_is_allowed_nothing_and_denied_all(void **state)
{
        (void)state;
        assert_int_equal(judge(RULES("deny device=/nowhere/at/all")), 1);
        assert_int_equal(judge(RULES("allow device=/nowhere/at/all", "deny")), 2);
}

static void keys_are_read_of_a_list_that_cannot_be_decoded(void **state)
{
        static const uint8_t cdb[HF_PR_CDB_SIZE] = {0x5f, 0x84, 0x15};
        static const uint8_t list[] = {0, 0, 0, 0, 0, 0, 0, 9, 1, 0, 0, 0, 0, 0, 0, 2};
        struct hf_pr_out read;

        (void)state;
        hf_pr_policy_read(cdb, list, sizeof(list), &read);
        assert_int_equal(read.action, HF_PR_PREEMPT);
        assert_int_equal(read.scope, 1);
        assert_int_equal(read.type, 5);
        assert_true(read.key == 9 && read.new_key == 0x0100000000000002);
        hf_pr_policy_read(cdb, list, 15, &read);
        assert_true(read.key == 9 && read.new_key == 0);
        hf_pr_policy_read(cdb, list, 7, &read);
        assert_true(read.key == 0);
}

static void what_is_not_understood_is_refused_with_its_rule(void **state)
{
        static const struct {
                const char *rule, *says;
        } rows[] = {
                {"", "begins with"},
                {"forbid", "begins with"},
                {"deny all", "\"all\""},
                {"deny user=", "nothing behind"},
                {"deny user=no-such-user-here", "no such user"},
                {"deny user=4294967295", "no such user"},
                {"deny user=1 user=2", "twice"},
                {"deny action=registre", "\"registre\""},
                {"deny action=in,", "no such action"},
                {"deny key=12", "0x1234abcd"},
                {"deny key=0x", "0x1234abcd"},
                {"deny key=0x12345678123456789", "0x1234abcd"},
                {"deny key=0x-1", "0x1234abcd"},
                {"deny key=0x0", "no key"},
                {"deny device=sda", "begin with"},
                {"deny vm='a", "quotation mark"},
                {"deny devices=/dev/sda", "devices=/dev/sda"},
        };

        (void)state;
        for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
                struct hf_pr_policy *policy = NULL;
                struct hf_error err = {0};
                const char *const rules[] = {"allow", rows[i].rule, NULL};

                assert_int_equal(hf_pr_policy_parse((char *const *)(uintptr_t)rules, &policy, &err),
                                 -EINVAL);
                assert_null(policy);
                if (!strstr(err.text, rows[i].says) || !strstr(err.text, "rule 2"))
                        fail_msg("%s: %s", rows[i].rule, err.text);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(without_rules_everything_is_allowed),
                cmocka_unit_test(the_first_rule_that_fits_decides_and_is_named),
                cmocka_unit_test(users_are_known_by_name_too),
                cmocka_unit_test_setup(a_vm_that_is_not_known_is_allowed_nothing_and_denied_all,
                                       setup),
                cmocka_unit_test_setup(a_value_with_blanks_stands_in_quotation_marks, setup),
                cmocka_unit_test_setup(actions_of_both_commands_are_told_apart, setup),
                cmocka_unit_test_setup(in_and_out_mean_unknown_actions_too, setup),
                cmocka_unit_test_setup(an_allow_vouches_for_every_key, setup),
                cmocka_unit_test_setup(a_deny_is_about_each_of_its_keys, setup),
                cmocka_unit_test_setup(to_preempt_the_key_0_is_to_preempt_every_key, setup),
                cmocka_unit_test_setup(a_device_is_known_by_any_path, setup),
                cmocka_unit_test(
                        a_device_that_cannot_be_looked_at_is_allowed_nothing_and_denied_all),
                cmocka_unit_test(keys_are_read_of_a_list_that_cannot_be_decoded),
                cmocka_unit_test(what_is_not_understood_is_refused_with_its_rule),
        };

        return cmocka_run_group_tests_name("policy", tests, setup, NULL);
}
