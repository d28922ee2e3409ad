/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "unit.h"

#include "base/cleanup.h"

#define ALL_TYPES(type)                                                                            \
        for (enum hf_pr_type type = HF_PR_WRITE_EXCLUSIVE; type <= HF_PR_EXCLUSIVE_ACCESS_ALL;     \
             type++)                                                                               \
                if (hf_pr_type_known(type))

static void who_is_not_registered_registers_with_key_0_only(void **state)
{
        UNIT;

        (void)state;
        assert_int_equal(ask(&unit, "a", HF_PR_REGISTER, 0x99, 0x11), CONFLICT);
        assert_int_equal(unit.changed, 0);
        assert_nobody(&unit);
        assert_int_equal(unit.state.generation, 0);
        assert_int_equal(ask(&unit, "a", HF_PR_REGISTER, 0, 0x11), 0);
        assert_int_equal(unit.changed, 1);
        assert_keys(&unit, 0x11);
        assert_int_equal(unit.state.generation, 1);
}

static void to_unregister_without_registration_is_good_and_changes_nothing(void **state)
{
        UNIT;

        (void)state;
        assert_int_equal(ask(&unit, "a", HF_PR_REGISTER, 0, 0), 0);
        assert_int_equal(unit.changed, 0);
        assert_int_equal(ask(&unit, "a", HF_PR_REGISTER_AND_IGNORE, 5, 0), 0);
        assert_int_equal(unit.changed, 0);
        assert_int_equal(unit.state.generation, 0);
}

static void a_registrant_changes_its_key_with_the_old_one_only(void **state)
{
        UNIT;

        (void)state;
        (void)ask(&unit, "a", HF_PR_REGISTER, 0, 0x11);
        assert_int_equal(ask(&unit, "a", HF_PR_REGISTER, 0, 0x22), CONFLICT);
        assert_int_equal(ask(&unit, "a", HF_PR_REGISTER, 0x12, 0x22), CONFLICT);
        assert_int_equal(unit.state.generation, 1);
        assert_int_equal(ask(&unit, "a", HF_PR_REGISTER, 0x11, 0x22), 0);
        assert_keys(&unit, 0x22);
        assert_int_equal(unit.state.generation, 2);
}

static void the_same_key_again_is_good_and_counts(void **state)
{
        UNIT;

        (void)state;
        (void)ask(&unit, "a", HF_PR_REGISTER, 0, 0x11);
        assert_int_equal(ask(&unit, "a", HF_PR_REGISTER, 0x11, 0x11), 0);
        assert_keys(&unit, 0x11);
        assert_int_equal(unit.state.generation, 2);
}

static void a_registrant_unregisters_with_key_0(void **state)
{
        UNIT;

        (void)state;
        (void)ask(&unit, "a", HF_PR_REGISTER, 0, 0x11);
        (void)ask(&unit, "b", HF_PR_REGISTER, 0, 0x22);
        assert_int_equal(ask(&unit, "a", HF_PR_REGISTER, 0x11, 0), 0);
        assert_keys(&unit, 0x22);
        assert_int_equal(unit.state.generation, 3);
        assert_int_equal(ask(&unit, "b", HF_PR_REGISTER_AND_IGNORE, 0, 0), 0);
        assert_nobody(&unit);
        assert_int_equal(unit.state.n, 0);
}

static void register_and_ignore_asks_for_no_key(void **state)
{
        UNIT;

        (void)state;
        assert_int_equal(ask(&unit, "a", HF_PR_REGISTER_AND_IGNORE, 0x99, 0x11), 0);
        assert_int_equal(ask(&unit, "a", HF_PR_REGISTER_AND_IGNORE, 0x98, 0x12), 0);
        assert_keys(&unit, 0x12);
        assert_int_equal(unit.state.generation, 2);
}

static void a_new_key_of_the_holder_is_the_new_key_of_the_reservation(void **state)
{
        UNIT;

        (void)state;
        (void)ask(&unit, "a", HF_PR_REGISTER, 0, 0x11);
        (void)ask_type(&unit, "a", HF_PR_RESERVE, 0x11, 0, HF_PR_EXCLUSIVE_ACCESS);
        (void)ask(&unit, "a", HF_PR_REGISTER_AND_IGNORE, 0, 0x12);
        assert_reserved(&unit, HF_PR_EXCLUSIVE_ACCESS, 0x12);
}

static void a_holder_that_unregisters_gives_up_the_reservation(void **state)
{
        (void)state;
        ALL_TYPES(type)
        {
                bool tells = type == HF_PR_WRITE_EXCLUSIVE_REGISTRANTS ||
                             type == HF_PR_EXCLUSIVE_ACCESS_REGISTRANTS;
                UNIT;

                (void)ask(&unit, "a", HF_PR_REGISTER, 0, 0x11);
                (void)ask(&unit, "b", HF_PR_REGISTER, 0, 0x22);
                assert_int_equal(ask_type(&unit, "a", HF_PR_RESERVE, 0x11, 0, type), 0);
                assert_int_equal(ask(&unit, "a", HF_PR_REGISTER, 0x11, 0), 0);
                assert_reserved(&unit, hf_pr_type_is_all(type) ? type : HF_PR_NONE, 0);
                assert_int_equal(ask(&unit, "b", HF_PR_REGISTER, 0x22, 0), tells ? 0x62a04 : 0);
                (void)ask(&unit, "b", HF_PR_REGISTER_AND_IGNORE, 0, 0);
                assert_reserved(&unit, HF_PR_NONE, 0);
        }
}

static void who_does_not_hold_unregisters_and_the_reservation_stays(void **state)
{
        UNIT;

        (void)state;
        (void)ask(&unit, "a", HF_PR_REGISTER, 0, 0x11);
        (void)ask(&unit, "b", HF_PR_REGISTER, 0, 0x22);
        (void)ask_type(&unit, "a", HF_PR_RESERVE, 0x11, 0, HF_PR_WRITE_EXCLUSIVE_REGISTRANTS);
        assert_int_equal(ask(&unit, "b", HF_PR_REGISTER, 0x22, 0), 0);
        assert_reserved(&unit, HF_PR_WRITE_EXCLUSIVE_REGISTRANTS, 0x11);
        assert_int_equal(ask(&unit, "a", HF_PR_REGISTER, 0x11, 0x11), 0);
}

static void only_a_registrant_with_its_key_may_ask_for_more(void **state)
{
        static const enum hf_pr_out_action actions[] = {HF_PR_RESERVE, HF_PR_RELEASE, HF_PR_CLEAR,
                                                        HF_PR_PREEMPT, HF_PR_PREEMPT_AND_ABORT};

        (void)state;
        for (size_t i = 0; i < HF_ARRAY_LEN(actions); i++) {
                UNIT;

                assert_int_equal(ask_type(&unit, "a", actions[i], 0, 0, 1), CONFLICT);
                (void)ask(&unit, "a", HF_PR_REGISTER, 0, 0x11);
                assert_int_equal(ask_type(&unit, "a", actions[i], 0x12, 0x11, 1), CONFLICT);
                assert_int_equal(ask_type(&unit, "a", actions[i], 0, 0x11, 1), CONFLICT);
                assert_int_equal(ask_type(&unit, "b", actions[i], 0x11, 0x11, 1), CONFLICT);
                assert_keys(&unit, 0x11);
                assert_reserved(&unit, HF_PR_NONE, 0);
                assert_int_equal(unit.state.generation, 1);
        }
}

static void one_reserves_and_the_other_meets_a_conflict(void **state)
{
        (void)state;
        ALL_TYPES(type)
        {
                bool all = hf_pr_type_is_all(type);
                UNIT;

                (void)ask(&unit, "a", HF_PR_REGISTER, 0, 0x11);
                (void)ask(&unit, "b", HF_PR_REGISTER, 0, 0x22);
                assert_int_equal(ask_type(&unit, "a", HF_PR_RESERVE, 0x11, 0, type), 0);
                assert_int_equal(unit.changed, 1);
                assert_reserved(&unit, type, all ? 0 : 0x11);
                assert_int_equal(ask_type(&unit, "b", HF_PR_RESERVE, 0x22, 0, type),
                                 all ? 0 : CONFLICT);
                assert_int_equal(ask_type(&unit, "b", HF_PR_RESERVE, 0x22, 0, type == 1 ? 3 : 1),
                                 CONFLICT);
                assert_int_equal(unit.state.generation, 2);
        }
}

static void the_holder_reserves_again_with_the_same_type_only(void **state)
{
        (void)state;
        ALL_TYPES(type) ALL_TYPES(other)
        {
                UNIT;

                (void)ask(&unit, "a", HF_PR_REGISTER, 0, 0x11);
                (void)ask_type(&unit, "a", HF_PR_RESERVE, 0x11, 0, type);
                assert_int_equal(ask_type(&unit, "a", HF_PR_RESERVE, 0x11, 0, other),
                                 other == type ? 0 : CONFLICT);
                assert_int_equal(unit.changed, 0);
                assert_reserved(&unit, type, hf_pr_type_is_all(type) ? 0 : 0x11);
        }
}

static void a_release_frees_and_tells_the_other_registrants(void **state)
{
        (void)state;
        ALL_TYPES(type)
        {
                UNIT;

                (void)ask(&unit, "a", HF_PR_REGISTER, 0, 0x11);
                (void)ask(&unit, "b", HF_PR_REGISTER, 0, 0x22);
                (void)ask_type(&unit, "a", HF_PR_RESERVE, 0x11, 0, type);
                assert_int_equal(ask_type(&unit, "a", HF_PR_RELEASE, 0x11, 0, type), 0);
                assert_reserved(&unit, HF_PR_NONE, 0);
                assert_int_equal(unit.state.generation, 2);
                assert_int_equal(ask_in(&unit, "a", HF_PR_READ_KEYS, 8), 0);
                assert_int_equal(ask_in(&unit, "b", HF_PR_READ_KEYS, 8),
                                 hf_pr_type_for_registrants(type) ? 0x62a04 : 0);
                assert_int_equal(ask_in(&unit, "b", HF_PR_READ_KEYS, 8), 0);
        }
}

static void a_release_by_who_does_not_hold_is_good_and_does_nothing(void **state)
{
        UNIT;

        (void)state;
        (void)ask(&unit, "a", HF_PR_REGISTER, 0, 0x11);
        (void)ask(&unit, "b", HF_PR_REGISTER, 0, 0x22);
        assert_int_equal(ask_type(&unit, "b", HF_PR_RELEASE, 0x22, 0, 5), 0);
        (void)ask_type(&unit, "a", HF_PR_RESERVE, 0x11, 0, 5);
        assert_int_equal(ask_type(&unit, "b", HF_PR_RELEASE, 0x22, 0, 5), 0);
        assert_int_equal(ask_type(&unit, "b", HF_PR_RELEASE, 0x22, 0, 1), 0);
        assert_int_equal(unit.changed, 0);
        assert_reserved(&unit, 5, 0x11);
}

static void a_release_with_another_type_is_an_invalid_release(void **state)
{
        (void)state;
        ALL_TYPES(type) ALL_TYPES(other)
        {
                UNIT;

                (void)ask(&unit, "a", HF_PR_REGISTER, 0, 0x11);
                (void)ask_type(&unit, "a", HF_PR_RESERVE, 0x11, 0, type);
                assert_int_equal(ask_type(&unit, "a", HF_PR_RELEASE, 0x11, 0, other),
                                 other == type ? 0 : 0x52604);
        }
}

static void clear_ends_everything_and_tells_the_other_registrants(void **state)
{
        UNIT;

        (void)state;
        (void)ask(&unit, "a", HF_PR_REGISTER, 0, 0x11);
        (void)ask(&unit, "b", HF_PR_REGISTER, 0, 0x22);
        (void)ask_type(&unit, "a", HF_PR_RESERVE, 0x11, 0, 1);
        assert_int_equal(ask(&unit, "b", HF_PR_CLEAR, 0x22, 0), 0);
        assert_nobody(&unit);
        assert_reserved(&unit, HF_PR_NONE, 0);
        assert_int_equal(unit.state.generation, 3);
        assert_int_equal(ask_in(&unit, "a", HF_PR_READ_KEYS, 8), 0x62a03);
        assert_int_equal(ask_in(&unit, "b", HF_PR_READ_KEYS, 8), 0);
        assert_int_equal(unit.state.n, 0);
}

static void scope_and_type_are_judged_where_they_count(void **state)
{
        UNIT;

        (void)state;
        (void)ask(&unit, "a", HF_PR_REGISTER, 0, 0x11);
        for (unsigned int type = 0; type < 16; type++) {
                if (hf_pr_type_known(type))
                        continue;
                assert_int_equal(ask_type(&unit, "a", HF_PR_RESERVE, 0x11, 0, type), 0x52400);
                assert_int_equal(ask_type(&unit, "a", HF_PR_RELEASE, 0x11, 0, type), 0x52400);
                assert_int_equal(ask_type(&unit, "a", HF_PR_REGISTER, 0x11, 0x11, type), 0);
        }
        for (uint8_t scope = 1; scope < 16; scope++) {
                struct hf_pr_out out = {
                        .action = HF_PR_RESERVE, .key = 0x11, .type = 1, .scope = scope};

                assert_int_equal(ask_out(&unit, "a", &out, 0), 0x52400);
        }
        assert_reserved(&unit, HF_PR_NONE, 0);
}

static void unknown_actions_are_refused_before_anything_else(void **state)
{
        UNIT;

        (void)state;
        for (unsigned int action = HF_PR_REGISTER_AND_MOVE; action < 32; action++) {
                struct hf_pr_out out = {.action = (uint8_t)action};

                assert_int_equal(ask_out(&unit, "a", &out, 0), 0x52400);
                assert_int_equal(ask_out(&unit, "a", &out, 3), 0x52400);
        }
}

static void a_list_is_24_bytes_long(void **state)
{
        UNIT;

        (void)state;
        for (size_t n = 1; n < 100; n++) {
                struct hf_pr_out out = {.new_key = 0x11};

                if (n != 24)
                        assert_int_equal(ask_out(&unit, "a", &out, n), 0x51a00);
        }
        assert_nobody(&unit);
}

static void other_initiators_cannot_be_registered(void **state)
{
        struct hf_pr_out out = {.new_key = 0x11, .spec_i_pt = true, .n_ids = 1};
        UNIT;

        (void)state;
        assert_int_equal(ask_out(&unit, "a", &out, 0), 0x52600);
        out.action = HF_PR_REGISTER_AND_IGNORE;
        assert_int_equal(ask_out(&unit, "a", &out, 0), 0x52600);
        assert_nobody(&unit);
        /* The bit means nothing with others. */
        (void)ask(&unit, "a", HF_PR_REGISTER, 0, 0x11);
        out = (struct hf_pr_out){
                .action = HF_PR_RESERVE, .type = 1, .key = 0x11, .spec_i_pt = true};
        assert_int_equal(ask_out(&unit, "a", &out, 0), 0);
}

static void aptpl_is_as_the_last_good_register_said(void **state)
{
        struct hf_pr_out out = {.new_key = 0x11, .aptpl = true};
        UNIT;

        (void)state;
        assert_int_equal(ask_out(&unit, "a", &out, 0), 0);
        assert_true(unit.state.aptpl);
        assert_int_equal(ask(&unit, "b", HF_PR_REGISTER, 0x77, 0x22), CONFLICT);
        assert_true(unit.state.aptpl);
        assert_int_equal(ask(&unit, "b", HF_PR_REGISTER, 0, 0x22), 0);
        assert_false(unit.state.aptpl);
}

static void there_is_an_end_to_registrations(void **state)
{
        char name[16];
        UNIT;

        (void)state;
        for (int i = 0; i < HF_PR_NEXUSES_MAX; i++) {
                (void)snprintf(name, sizeof(name), "n%d", i);
                assert_int_equal(ask(&unit, name, HF_PR_REGISTER, 0, 0x11), 0);
        }
        assert_int_equal(ask(&unit, "late", HF_PR_REGISTER, 0, 0x11), 0x55504);
        assert_int_equal(unit.changed, 0);
        assert_int_equal(ask(&unit, "n7", HF_PR_REGISTER, 0x11, 0x12), 0);
        (void)ask(&unit, "n7", HF_PR_REGISTER, 0x12, 0);
        assert_int_equal(ask(&unit, "late", HF_PR_REGISTER, 0, 0x11), 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(who_is_not_registered_registers_with_key_0_only),
                cmocka_unit_test(to_unregister_without_registration_is_good_and_changes_nothing),
                cmocka_unit_test(a_registrant_changes_its_key_with_the_old_one_only),
                cmocka_unit_test(the_same_key_again_is_good_and_counts),
                cmocka_unit_test(a_registrant_unregisters_with_key_0),
                cmocka_unit_test(register_and_ignore_asks_for_no_key),
                cmocka_unit_test(a_new_key_of_the_holder_is_the_new_key_of_the_reservation),
                cmocka_unit_test(a_holder_that_unregisters_gives_up_the_reservation),
                cmocka_unit_test(who_does_not_hold_unregisters_and_the_reservation_stays),
                cmocka_unit_test(only_a_registrant_with_its_key_may_ask_for_more),
                cmocka_unit_test(one_reserves_and_the_other_meets_a_conflict),
                cmocka_unit_test(the_holder_reserves_again_with_the_same_type_only),
                cmocka_unit_test(a_release_frees_and_tells_the_other_registrants),
                cmocka_unit_test(a_release_by_who_does_not_hold_is_good_and_does_nothing),
                cmocka_unit_test(a_release_with_another_type_is_an_invalid_release),
                cmocka_unit_test(clear_ends_everything_and_tells_the_other_registrants),
                cmocka_unit_test(scope_and_type_are_judged_where_they_count),
                cmocka_unit_test(unknown_actions_are_refused_before_anything_else),
                cmocka_unit_test(a_list_is_24_bytes_long),
                cmocka_unit_test(other_initiators_cannot_be_registered),
                cmocka_unit_test(aptpl_is_as_the_last_good_register_said),
                cmocka_unit_test(there_is_an_end_to_registrations),
        };

        return cmocka_run_group_tests_name("model", tests, NULL, NULL);
}
