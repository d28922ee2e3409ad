/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "unit.h"

static void keys_are_cut_at_the_room_and_the_length_is_not(void **state)
{
        UNIT;

        (void)state;
        (void)ask(&unit, "a", HF_PR_REGISTER, 0, 0x11);
        (void)ask(&unit, "b", HF_PR_REGISTER, 0, 0x22);
        for (size_t room = 0; room < 40; room++) {
                assert_int_equal(ask_in(&unit, "c", HF_PR_READ_KEYS, room), 0);
                assert_int_equal(unit.size, room < 24 ? room : 24);
                if (room >= 8)
                        assert_int_equal(unit.data[7], 16);
                for (size_t at = room; at < 40; at++)
                        assert_int_equal(unit.data[at], at < 24 || at >= room ? 0xee : 0);
        }
}

static void no_more_can_be_done_than_capabilities_say(void **state)
{
        static const uint8_t expected[] = {0, 8, 0x05, 0x80, 0xea, 0x01, 0, 0};
        struct hf_pr_out out = {.new_key = 0x11, .aptpl = true};
        UNIT;

        (void)state;
        assert_int_equal(ask_in(&unit, "a", HF_PR_REPORT_CAPABILITIES, 255), 0);
        assert_int_equal(unit.size, sizeof(expected));
        assert_memory_equal(unit.data, expected, sizeof(expected));
        (void)ask_out(&unit, "a", &out, 0);
        assert_int_equal(ask_in(&unit, "a", HF_PR_REPORT_CAPABILITIES, 4), 0);
        assert_int_equal(unit.size, 4);
        assert_int_equal(unit.data[3], 0x81);
}

static void full_status_says_who_holds(void **state)
{
        struct hf_pr_registrant found[2];
        struct hf_pr_out out = {.new_key = 0x22, .all_tg_pt = true};
        uint32_t generation;
        size_t n;
        UNIT;

        (void)state;
        (void)ask(&unit, "Host/VM one", HF_PR_REGISTER, 0, 0x11);
        (void)ask_out(&unit, "host/vm-one", &out, 0);
        (void)ask_type(&unit, "host/vm-one", HF_PR_RESERVE, 0x22, 0, HF_PR_EXCLUSIVE_ACCESS);
        assert_int_equal(ask_in(&unit, "x", HF_PR_READ_FULL_STATUS, HF_PR_DATA_MAX), 0);
        assert_int_equal(hf_pr_full_status_decode(unit.data, unit.size, &generation, found, 2, &n),
                         2);
        assert_int_equal(n, 2);
        assert_int_equal(generation, 2);
        assert_true(found[0].key == 0x11 && !found[0].holder && !found[0].all_tg_pt);
        assert_true(found[1].key == 0x22 && found[1].holder && found[1].all_tg_pt);
        assert_int_equal(found[1].type, HF_PR_EXCLUSIVE_ACCESS);
        assert_int_equal(found[0].port, 1);
        /* What iSCSI does not allow in a name is gone; that the two differ is not. */
        assert_memory_equal(found[0].id.name, "iqn.2025-01.invalid.holdfast:host:vm-one,i,0x", 45);
        assert_memory_equal(found[1].id.name, "iqn.2025-01.invalid.holdfast:host:vm-one,i,0x", 45);
        assert_string_not_equal(found[0].id.name, found[1].id.name);
}

static void names_of_any_length_fit_a_transport_id(void **state)
{
        static char name[HF_PR_NEXUS_MAX];
        struct hf_pr_registrant found;
        uint32_t generation;
        size_t n;

        (void)state;
        for (size_t length = 1; length < sizeof(name); length++) {
                UNIT;

                memset(name, 'x', length);
                name[length] = '\0';
                assert_int_equal(ask(&unit, name, HF_PR_REGISTER, 0, 0x11), 0);
                assert_int_equal(ask_in(&unit, "y", HF_PR_READ_FULL_STATUS, HF_PR_DATA_MAX), 0);
                assert_int_equal(
                        hf_pr_full_status_decode(unit.data, unit.size, &generation, &found, 1, &n),
                        1);
                assert_int_equal(found.id.protocol, HF_TRANSPORT_ISCSI);
        }
}

static void full_status_of_very_many_is_cut(void **state)
{
        char name[16];
        UNIT;

        (void)state;
        for (int i = 0; i < HF_PR_NEXUSES_MAX; i++) {
                (void)snprintf(name, sizeof(name), "n%d", i);
                assert_int_equal(ask(&unit, name, HF_PR_REGISTER, 0, 0x11), 0);
        }
        assert_int_equal(ask_in(&unit, "x", HF_PR_READ_FULL_STATUS, HF_PR_DATA_MAX), 0);
        assert_int_equal(unit.size, HF_PR_DATA_MAX);
        assert_true(unit.data[6] > HF_PR_DATA_MAX >> 8);
}

static void unknown_questions_are_refused(void **state)
{
        UNIT;

        (void)state;
        for (unsigned int action = 4; action < 32; action++)
                assert_int_equal(ask_in(&unit, "a", action, 255), 0x52400);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(keys_are_cut_at_the_room_and_the_length_is_not),
                cmocka_unit_test(no_more_can_be_done_than_capabilities_say),
                cmocka_unit_test(full_status_says_who_holds),
                cmocka_unit_test(names_of_any_length_fit_a_transport_id),
                cmocka_unit_test(full_status_of_very_many_is_cut),
                cmocka_unit_test(unknown_questions_are_refused),
        };

        return cmocka_run_group_tests_name("model-data", tests, NULL, NULL);
}
