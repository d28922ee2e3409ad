/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "unit.h"

#include "prhelper/emulated/power.h"

/* One command as the backend does it: the host runs under that boot. */
static unsigned int at(struct unit *unit, const char *boot, const char *nexus,
                       enum hf_pr_out_action action, uint64_t key, uint64_t new_key)
{
        unsigned int answer;

        (void)hf_pr_power_before(&unit->state, nexus, boot);
        answer = ask_type(unit, nexus, action, key, new_key, HF_PR_EXCLUSIVE_ACCESS);
        hf_pr_power_after(&unit->state, nexus, boot);
        return answer;
}

static void a_host_alone_that_boots_finds_nothing(void **state)
{
        UNIT;

        (void)state;
        (void)at(&unit, "1", "a/x", HF_PR_REGISTER, 0, 0x11);
        (void)at(&unit, "1", "a/y", HF_PR_REGISTER, 0, 0x22);
        (void)at(&unit, "1", "a/y", HF_PR_RESERVE, 0x22, 0);
        assert_false(hf_pr_power_before(&unit.state, "a/x", "1"));
        assert_keys(&unit, 0x11, 0x22);
        assert_true(hf_pr_power_before(&unit.state, "a/z", "2"));
        assert_nobody(&unit);
        assert_reserved(&unit, HF_PR_NONE, 0);
        assert_int_equal(unit.state.generation, 0);
}

static void with_aptpl_a_boot_changes_nothing(void **state)
{
        struct hf_pr_out out = {.new_key = 0x11, .aptpl = true};
        UNIT;

        (void)state;
        (void)ask_out(&unit, "a", &out, 0);
        hf_pr_power_after(&unit.state, "a", "1");
        assert_int_equal(at(&unit, "2", "a", HF_PR_RESERVE, 0x11, 0), 0);
        assert_reserved(&unit, HF_PR_EXCLUSIVE_ACCESS, 0x11);
}

static void another_host_with_a_registration_keeps_the_power_on(void **state)
{
        UNIT;

        (void)state;
        (void)at(&unit, "1", "a", HF_PR_REGISTER, 0, 0x11);
        (void)at(&unit, "9", "b", HF_PR_REGISTER, 0, 0x22);
        (void)at(&unit, "9", "b", HF_PR_RESERVE, 0x22, 0);
        assert_true(hf_pr_power_before(&unit.state, "a", "2"));
        assert_keys(&unit, 0x11, 0x22);
        assert_reserved(&unit, HF_PR_EXCLUSIVE_ACCESS, 0x22);
        assert_false(hf_pr_power_before(&unit.state, "a", "2"));
}

static void what_outlived_a_boot_lives_as_long_as_the_next(void **state)
{
        UNIT;

        (void)state;
        (void)at(&unit, "1", "a", HF_PR_REGISTER, 0, 0x11);
        (void)at(&unit, "9", "b", HF_PR_REGISTER, 0, 0x22);
        (void)at(&unit, "2", "a", HF_PR_RESERVE, 0x11, 0);
        (void)at(&unit, "9", "b", HF_PR_REGISTER, 0x22, 0);
        assert_false(hf_pr_power_before(&unit.state, "a", "2"));
        assert_reserved(&unit, HF_PR_EXCLUSIVE_ACCESS, 0x11);
        assert_true(hf_pr_power_before(&unit.state, "a", "3"));
        assert_reserved(&unit, HF_PR_NONE, 0);
}

static void who_registers_anew_after_a_preempt_counts_for_the_new_boot(void **state)
{
        UNIT;

        (void)state;
        (void)at(&unit, "1", "a", HF_PR_REGISTER, 0, 0x11);
        (void)at(&unit, "9", "b", HF_PR_REGISTER, 0, 0x22);
        assert_int_equal(at(&unit, "9", "b", HF_PR_PREEMPT, 0x22, 0x11), 0);
        assert_int_equal(at(&unit, "2", "a", HF_PR_REGISTER, 0, 0x11), 0x62a05);
        assert_int_equal(at(&unit, "2", "a", HF_PR_REGISTER, 0, 0x11), 0);
        (void)at(&unit, "9", "b", HF_PR_REGISTER, 0x22, 0);
        assert_false(hf_pr_power_before(&unit.state, "a", "2"));
        assert_keys(&unit, 0x11);
}

static void so_does_who_was_never_told_of_the_preempt(void **state)
{
        UNIT;

        (void)state;
        (void)at(&unit, "1", "a", HF_PR_REGISTER, 0, 0x11);
        (void)at(&unit, "9", "b", HF_PR_REGISTER, 0, 0x22);
        assert_int_equal(at(&unit, "9", "b", HF_PR_PREEMPT, 0x22, 0x11), 0);
        unit.now += HF_PR_ATTENTION_AGE + 1;
        assert_int_equal(at(&unit, "2", "a", HF_PR_REGISTER, 0, 0x11), 0);
        (void)at(&unit, "9", "b", HF_PR_REGISTER, 0x22, 0);
        assert_false(hf_pr_power_before(&unit.state, "a", "2"));
        assert_keys(&unit, 0x11);
}

static void hosts_whose_names_begin_the_same_are_two(void **state)
{
        UNIT;

        (void)state;
        (void)at(&unit, "1", "node1/x", HF_PR_REGISTER, 0, 0x11);
        assert_false(hf_pr_power_before(&unit.state, "node10/x", "2"));
        assert_false(hf_pr_power_before(&unit.state, "node", "2"));
        assert_true(hf_pr_power_before(&unit.state, "node1", "2"));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_host_alone_that_boots_finds_nothing),
                cmocka_unit_test(with_aptpl_a_boot_changes_nothing),
                cmocka_unit_test(another_host_with_a_registration_keeps_the_power_on),
                cmocka_unit_test(what_outlived_a_boot_lives_as_long_as_the_next),
                cmocka_unit_test(who_registers_anew_after_a_preempt_counts_for_the_new_boot),
                cmocka_unit_test(so_does_who_was_never_told_of_the_preempt),
                cmocka_unit_test(hosts_whose_names_begin_the_same_are_two),
        };

        return cmocka_run_group_tests_name("power", tests, NULL, NULL);
}
