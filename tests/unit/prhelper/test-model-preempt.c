/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "unit.h"

/* a holds with key 0x11; b and c share 0x22; d has 0x33. */
static void populate(struct unit *unit, enum hf_pr_type type)
{
        assert_int_equal(ask(unit, "a", HF_PR_REGISTER, 0, 0x11), 0);
        assert_int_equal(ask(unit, "b", HF_PR_REGISTER, 0, 0x22), 0);
        assert_int_equal(ask(unit, "c", HF_PR_REGISTER, 0, 0x22), 0);
        assert_int_equal(ask(unit, "d", HF_PR_REGISTER, 0, 0x33), 0);
        if (type != HF_PR_NONE)
                assert_int_equal(ask_type(unit, "a", HF_PR_RESERVE, 0x11, 0, type), 0);
        assert_int_equal(unit->state.generation, 4);
}

static unsigned int look(struct unit *unit, const char *nexus)
{
        return ask_in(unit, nexus, HF_PR_READ_KEYS, 8);
}

static void who_preempts_the_holder_has_the_reservation(void **state)
{
        static const enum hf_pr_out_action actions[] = {HF_PR_PREEMPT, HF_PR_PREEMPT_AND_ABORT};

        (void)state;
        for (int i = 0; i < 2; i++) {
                UNIT;

                populate(&unit, HF_PR_WRITE_EXCLUSIVE_REGISTRANTS);
                assert_int_equal(ask_type(&unit, "d", actions[i], 0x33, 0x11,
                                          HF_PR_WRITE_EXCLUSIVE_REGISTRANTS),
                                 0);
                assert_keys(&unit, 0x22, 0x22, 0x33);
                assert_reserved(&unit, HF_PR_WRITE_EXCLUSIVE_REGISTRANTS, 0x33);
                assert_int_equal(unit.state.generation, 5);
                assert_int_equal(look(&unit, "a"), 0x62a05);
                assert_int_equal(look(&unit, "a"), 0);
                assert_int_equal(look(&unit, "b"), 0);
                assert_int_equal(look(&unit, "d"), 0);
        }
}

static void another_type_is_told_to_the_registrants_that_remain(void **state)
{
        UNIT;

        (void)state;
        populate(&unit, HF_PR_WRITE_EXCLUSIVE_REGISTRANTS);
        assert_int_equal(ask_type(&unit, "d", HF_PR_PREEMPT, 0x33, 0x11, HF_PR_EXCLUSIVE_ACCESS),
                         0);
        assert_reserved(&unit, HF_PR_EXCLUSIVE_ACCESS, 0x33);
        assert_int_equal(look(&unit, "a"), 0x62a05);
        assert_int_equal(look(&unit, "b"), 0x62a04);
        assert_int_equal(look(&unit, "c"), 0x62a04);
        assert_int_equal(look(&unit, "d"), 0);
}

static void the_key_of_no_holder_only_removes_registrations(void **state)
{
        UNIT;

        (void)state;
        populate(&unit, HF_PR_WRITE_EXCLUSIVE);
        assert_int_equal(ask_type(&unit, "d", HF_PR_PREEMPT, 0x33, 0x22, HF_PR_EXCLUSIVE_ACCESS),
                         0);
        assert_keys(&unit, 0x11, 0x33);
        assert_reserved(&unit, HF_PR_WRITE_EXCLUSIVE, 0x11);
        assert_int_equal(unit.state.generation, 5);
        assert_int_equal(look(&unit, "b"), 0x62a05);
        assert_int_equal(look(&unit, "c"), 0x62a05);
        assert_int_equal(look(&unit, "a"), 0);
}

static void scope_and_type_do_not_count_where_nothing_gets_reserved(void **state)
{
        UNIT;

        (void)state;
        populate(&unit, HF_PR_WRITE_EXCLUSIVE);
        assert_int_equal(ask_type(&unit, "d", HF_PR_PREEMPT, 0x33, 0x11, 2), 0x52400);
        assert_int_equal(ask_type(&unit, "d", HF_PR_PREEMPT, 0x33, 0x22, 2), 0);
        assert_keys(&unit, 0x11, 0x33);
}

static void an_unknown_victim_is_a_conflict(void **state)
{
        UNIT;

        (void)state;
        populate(&unit, HF_PR_NONE);
        assert_int_equal(ask_type(&unit, "d", HF_PR_PREEMPT, 0x33, 0x44, 1), CONFLICT);
        assert_int_equal(unit.changed, 0);
        assert_keys(&unit, 0x11, 0x22, 0x22, 0x33);
        (void)ask_type(&unit, "a", HF_PR_RESERVE, 0x11, 0, HF_PR_EXCLUSIVE_ACCESS_ALL);
        assert_int_equal(ask_type(&unit, "d", HF_PR_PREEMPT, 0x33, 0x44, 1), CONFLICT);
        assert_int_equal(unit.state.generation, 4);
}

static void victim_0_is_refused_unless_all_registrants_hold(void **state)
{
        UNIT;

        (void)state;
        populate(&unit, HF_PR_NONE);
        assert_int_equal(ask_type(&unit, "d", HF_PR_PREEMPT, 0x33, 0, 1), 0x52600);
        (void)ask_type(&unit, "a", HF_PR_RESERVE, 0x11, 0, HF_PR_EXCLUSIVE_ACCESS_REGISTRANTS);
        assert_int_equal(ask_type(&unit, "d", HF_PR_PREEMPT, 0x33, 0, 1), 0x52600);
        assert_keys(&unit, 0x11, 0x22, 0x22, 0x33);
}

static void victim_0_removes_everybody_else_where_all_registrants_hold(void **state)
{
        UNIT;

        (void)state;
        populate(&unit, HF_PR_EXCLUSIVE_ACCESS_ALL);
        assert_int_equal(ask_type(&unit, "d", HF_PR_PREEMPT, 0x33, 0, HF_PR_WRITE_EXCLUSIVE), 0);
        assert_keys(&unit, 0x33);
        assert_reserved(&unit, HF_PR_WRITE_EXCLUSIVE, 0x33);
        assert_int_equal(look(&unit, "a"), 0x62a05);
        assert_int_equal(look(&unit, "c"), 0x62a05);
}

static void a_key_only_removes_registrations_where_all_registrants_hold(void **state)
{
        UNIT;

        (void)state;
        populate(&unit, HF_PR_WRITE_EXCLUSIVE_ALL);
        assert_int_equal(ask_type(&unit, "d", HF_PR_PREEMPT, 0x33, 0x22, HF_PR_EXCLUSIVE_ACCESS),
                         0);
        assert_keys(&unit, 0x11, 0x33);
        assert_reserved(&unit, HF_PR_WRITE_EXCLUSIVE_ALL, 0);
        assert_int_equal(look(&unit, "b"), 0x62a05);
}

static void the_holder_preempts_itself_to_change_the_type(void **state)
{
        UNIT;

        (void)state;
        populate(&unit, HF_PR_WRITE_EXCLUSIVE);
        assert_int_equal(
                ask_type(&unit, "a", HF_PR_PREEMPT, 0x11, 0x11, HF_PR_EXCLUSIVE_ACCESS_ALL), 0);
        assert_keys(&unit, 0x11, 0x22, 0x22, 0x33);
        assert_reserved(&unit, HF_PR_EXCLUSIVE_ACCESS_ALL, 0);
        assert_int_equal(look(&unit, "a"), 0);
        assert_int_equal(look(&unit, "d"), 0x62a04);
}

static void who_takes_over_with_the_key_of_the_holder_stays(void **state)
{
        UNIT;

        (void)state;
        (void)ask(&unit, "source", HF_PR_REGISTER, 0, 0x11);
        (void)ask_type(&unit, "source", HF_PR_RESERVE, 0x11, 0, HF_PR_EXCLUSIVE_ACCESS);
        (void)ask(&unit, "target", HF_PR_REGISTER, 0, 0x11);
        assert_int_equal(
                ask_type(&unit, "target", HF_PR_PREEMPT, 0x11, 0x11, HF_PR_EXCLUSIVE_ACCESS), 0);
        assert_keys(&unit, 0x11);
        assert_reserved(&unit, HF_PR_EXCLUSIVE_ACCESS, 0x11);
        assert_int_equal(look(&unit, "target"), 0);
        assert_int_equal(look(&unit, "source"), 0x62a05);
}

static void who_preempts_its_own_key_without_holding_is_removed_and_not_told(void **state)
{
        UNIT;

        (void)state;
        populate(&unit, HF_PR_WRITE_EXCLUSIVE);
        assert_int_equal(ask_type(&unit, "b", HF_PR_PREEMPT, 0x22, 0x22, 1), 0);
        assert_keys(&unit, 0x11, 0x33);
        assert_int_equal(look(&unit, "b"), 0);
        assert_int_equal(look(&unit, "c"), 0x62a05);
}

static void a_reservation_of_all_goes_with_the_last_of_them(void **state)
{
        UNIT;

        (void)state;
        (void)ask(&unit, "a", HF_PR_REGISTER, 0, 0x11);
        (void)ask_type(&unit, "a", HF_PR_RESERVE, 0x11, 0, HF_PR_WRITE_EXCLUSIVE_ALL);
        assert_int_equal(ask_type(&unit, "a", HF_PR_PREEMPT, 0x11, 0x11, 7), 0);
        assert_nobody(&unit);
        assert_reserved(&unit, HF_PR_NONE, 0);
}

static void the_graver_message_is_the_one_that_is_told(void **state)
{
        UNIT;

        (void)state;
        populate(&unit, HF_PR_WRITE_EXCLUSIVE_REGISTRANTS);
        (void)ask_type(&unit, "a", HF_PR_RELEASE, 0x11, 0, HF_PR_WRITE_EXCLUSIVE_REGISTRANTS);
        assert_int_equal(look(&unit, "d"), 0x62a04);
        (void)ask_type(&unit, "d", HF_PR_PREEMPT, 0x33, 0x22, 0);
        assert_int_equal(look(&unit, "b"), 0x62a05);
        assert_int_equal(look(&unit, "b"), 0);
        (void)ask(&unit, "b", HF_PR_REGISTER, 0, 0x22);
        (void)ask_type(&unit, "d", HF_PR_RESERVE, 0x33, 0, HF_PR_WRITE_EXCLUSIVE_REGISTRANTS);
        (void)ask_type(&unit, "d", HF_PR_RELEASE, 0x33, 0, HF_PR_WRITE_EXCLUSIVE_REGISTRANTS);
        (void)ask(&unit, "d", HF_PR_CLEAR, 0x33, 0);
        assert_int_equal(look(&unit, "b"), 0x62a03);
        assert_int_equal(look(&unit, "b"), 0);
}

static void a_message_is_told_once_and_before_the_command(void **state)
{
        UNIT;

        (void)state;
        populate(&unit, HF_PR_WRITE_EXCLUSIVE);
        (void)ask_type(&unit, "d", HF_PR_PREEMPT, 0x33, 0x11, HF_PR_WRITE_EXCLUSIVE);
        assert_int_equal(ask(&unit, "a", HF_PR_REGISTER, 0, 0x12), 0x62a05);
        assert_int_equal(unit.changed, 1);
        assert_keys(&unit, 0x22, 0x22, 0x33);
        assert_int_equal(ask(&unit, "a", HF_PR_REGISTER, 0, 0x12), 0);
        assert_keys(&unit, 0x22, 0x22, 0x33, 0x12);
}

static void a_clock_that_is_behind_makes_no_message_old(void **state)
{
        UNIT;

        (void)state;
        populate(&unit, HF_PR_WRITE_EXCLUSIVE);
        (void)ask_type(&unit, "d", HF_PR_PREEMPT, 0x33, 0x11, HF_PR_WRITE_EXCLUSIVE);
        unit.now = 1;
        assert_int_equal(look(&unit, "a"), 0x62a05);
}

static void messages_age_and_are_bounded(void **state)
{
        char name[16];
        UNIT;

        (void)state;
        populate(&unit, HF_PR_WRITE_EXCLUSIVE);
        (void)ask_type(&unit, "d", HF_PR_PREEMPT, 0x33, 0x11, HF_PR_WRITE_EXCLUSIVE);
        unit.now += HF_PR_ATTENTION_AGE + 1;
        assert_int_equal(look(&unit, "a"), 0);
        (void)ask(&unit, "d", HF_PR_REGISTER, 0x33, 0x33);
        assert_int_equal(unit.state.n, 3);
        for (int i = 0; i < 2 * HF_PR_ATTENTIONS_MAX; i++) {
                unit.now++;
                (void)snprintf(name, sizeof(name), "n%d", i);
                assert_int_equal(ask(&unit, name, HF_PR_REGISTER, 0, 0x77), 0);
                assert_int_equal(ask(&unit, "d", HF_PR_PREEMPT, 0x33, 0x77), 0);
        }
        assert_int_equal(unit.state.n, 3 + HF_PR_ATTENTIONS_MAX);
        assert_int_equal(look(&unit, "n0"), 0);
        assert_int_equal(look(&unit, name), 0x62a05);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(who_preempts_the_holder_has_the_reservation),
                cmocka_unit_test(another_type_is_told_to_the_registrants_that_remain),
                cmocka_unit_test(the_key_of_no_holder_only_removes_registrations),
                cmocka_unit_test(scope_and_type_do_not_count_where_nothing_gets_reserved),
                cmocka_unit_test(an_unknown_victim_is_a_conflict),
                cmocka_unit_test(victim_0_is_refused_unless_all_registrants_hold),
                cmocka_unit_test(victim_0_removes_everybody_else_where_all_registrants_hold),
                cmocka_unit_test(a_key_only_removes_registrations_where_all_registrants_hold),
                cmocka_unit_test(the_holder_preempts_itself_to_change_the_type),
                cmocka_unit_test(who_takes_over_with_the_key_of_the_holder_stays),
                cmocka_unit_test(who_preempts_its_own_key_without_holding_is_removed_and_not_told),
                cmocka_unit_test(a_reservation_of_all_goes_with_the_last_of_them),
                cmocka_unit_test(the_graver_message_is_the_one_that_is_told),
                cmocka_unit_test(a_message_is_told_once_and_before_the_command),
                cmocka_unit_test(a_clock_that_is_behind_makes_no_message_old),
                cmocka_unit_test(messages_age_and_are_bounded),
        };

        return cmocka_run_group_tests_name("model-preempt", tests, NULL, NULL);
}
