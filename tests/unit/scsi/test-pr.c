/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "scsi/pr.h"

#include "base/cleanup.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void an_out_command_is_read_as_the_standard_lays_it_out(void **state)
{
        static const uint8_t cdb[HF_PR_CDB_SIZE] = {0x5f, 0xe4, 0x25, 0, 0, 0, 0, 0, 24};
        static const uint8_t list[HF_PR_LIST_SIZE] = {1,    2,    3,    4,    5,    6,    7,
                                                      8,    0x11, 0x12, 0x13, 0x14, 0x15, 0x16,
                                                      0x17, 0x18, 0,    0,    0,    0,    0x05};
        struct hf_pr_out out;

        (void)state;
        assert_int_equal(hf_pr_length(cdb), 24);
        assert_int_equal(hf_pr_out_decode(cdb, list, sizeof(list), &out), HF_PR_FAULT_NONE);
        assert_int_equal(out.action, HF_PR_PREEMPT);
        assert_int_equal(out.scope, 2);
        assert_int_equal(out.type, HF_PR_WRITE_EXCLUSIVE_REGISTRANTS);
        assert_true(out.key == 0x0102030405060708);
        assert_true(out.new_key == 0x1112131415161718);
        assert_true(out.aptpl && out.all_tg_pt && !out.spec_i_pt);
        assert_int_equal(out.n_ids, 0);
}

static void register_and_move_has_its_flag_elsewhere(void **state)
{
        static const uint8_t cdb[HF_PR_CDB_SIZE] = {0x5f, HF_PR_REGISTER_AND_MOVE};
        uint8_t list[HF_PR_LIST_SIZE] = {[17] = 1, [20] = 0xff, 0xff, 0xff, 0xff};
        struct hf_pr_out out;

        (void)state;
        assert_int_equal(hf_pr_out_decode(cdb, list, sizeof(list), &out), HF_PR_FAULT_NONE);
        assert_true(out.aptpl && !out.all_tg_pt && !out.spec_i_pt);
        list[17] = 0;
        assert_int_equal(hf_pr_out_decode(cdb, list, sizeof(list), &out), HF_PR_FAULT_NONE);
        assert_false(out.aptpl);
}

static void a_list_below_24_bytes_is_a_length_error(void **state)
{
        static const uint8_t cdb[HF_PR_CDB_SIZE] = {0x5f};
        static const uint8_t list[HF_PR_LIST_SIZE];
        struct hf_pr_out out = {.action = 99};

        (void)state;
        for (size_t n = 0; n < HF_PR_LIST_SIZE; n++)
                assert_int_equal(hf_pr_out_decode(cdb, list, n, &out), HF_PR_FAULT_LENGTH);
        assert_int_equal(out.action, 99);
}

static void the_transport_ids_have_to_fit_what_came(void **state)
{
        static const uint8_t cdb[HF_PR_CDB_SIZE] = {0x5f};
        uint8_t list[HF_PR_DATA_MAX] = {[20] = 0x08, [27] = 24, [28] = 0x06, [39] = 7};
        struct hf_pr_out out;

        (void)state;
        assert_int_equal(hf_pr_out_decode(cdb, list, 52, &out), HF_PR_FAULT_NONE);
        assert_int_equal(out.n_ids, 1);
        assert_true(out.ids[0].address == 7);
        for (size_t n = 24; n < 28; n++)
                assert_int_equal(hf_pr_out_decode(cdb, list, n, &out), HF_PR_FAULT_LENGTH);
        for (size_t n = 28; n < 52; n++)
                assert_int_equal(hf_pr_out_decode(cdb, list, n, &out), HF_PR_FAULT_FIELD);
        list[24] = 0x80;
        assert_int_equal(hf_pr_out_decode(cdb, list, sizeof(list), &out), HF_PR_FAULT_FIELD);
        list[24] = 0;
        list[28] = 0x04;
        assert_int_equal(hf_pr_out_decode(cdb, list, 52, &out), HF_PR_FAULT_FIELD);
}

static void no_more_transport_ids_are_taken_than_there_is_room_for(void **state)
{
        static const uint8_t cdb[HF_PR_CDB_SIZE] = {0x5f, HF_PR_REGISTER_AND_IGNORE};
        uint8_t list[HF_PR_DATA_MAX] = {[20] = 0x08};
        struct hf_pr_out out;

        (void)state;
        list[26] = HF_PR_IDS_MAX * 24 >> 8;
        list[27] = (uint8_t)(HF_PR_IDS_MAX * 24);
        assert_int_equal(hf_pr_out_decode(cdb, list, sizeof(list), &out), HF_PR_FAULT_NONE);
        assert_int_equal(out.n_ids, HF_PR_IDS_MAX);
        list[26] = (HF_PR_IDS_MAX + 1) * 24 >> 8;
        list[27] = (uint8_t)((HF_PR_IDS_MAX + 1) * 24);
        assert_int_equal(hf_pr_out_decode(cdb, list, sizeof(list), &out), HF_PR_FAULT_FIELD);
}

static void what_is_encoded_is_decoded_the_same(void **state)
{
        struct hf_pr_out out = {.action = HF_PR_REGISTER,
                                .key = 0x1234,
                                .new_key = UINT64_MAX,
                                .aptpl = true,
                                .spec_i_pt = true,
                                .n_ids = 2,
                                .ids = {{.protocol = HF_TRANSPORT_FC, .address = 5},
                                        {.protocol = HF_TRANSPORT_ISCSI,
                                         .format = 1,
                                         .name = "iqn.2001-04.a:b,i,0x1"}}};
        struct hf_pr_out again;
        uint8_t cdb[HF_PR_CDB_SIZE], list[HF_PR_DATA_MAX], list2[HF_PR_DATA_MAX];

        (void)state;
        assert_int_equal(hf_pr_out_encode(&out, cdb, list, sizeof(list)), 28 + 24 + 28);
        assert_int_equal(hf_pr_length(cdb), 80);
        assert_int_equal(hf_pr_out_decode(cdb, list, 80, &again), HF_PR_FAULT_NONE);
        assert_int_equal(hf_pr_out_encode(&again, cdb, list2, sizeof(list2)), 80);
        assert_memory_equal(list, list2, 80);
        assert_true(again.key == 0x1234 && again.new_key == UINT64_MAX && again.aptpl);
        assert_int_equal(again.n_ids, 2);

        out.spec_i_pt = false;
        out.scope = 3;
        out.type = 8;
        assert_int_equal(hf_pr_out_encode(&out, cdb, list, HF_PR_LIST_SIZE), 24);
        assert_int_equal(hf_pr_out_decode(cdb, list, 24, &again), HF_PR_FAULT_NONE);
        assert_int_equal(again.scope, 3);
        assert_int_equal(again.type, 8);
        assert_int_equal(again.n_ids, 0);
}

static void a_list_that_does_not_fit_is_not_written(void **state)
{
        struct hf_pr_out out = {.spec_i_pt = true, .n_ids = 1};
        uint8_t cdb[HF_PR_CDB_SIZE], list[HF_PR_DATA_MAX];

        (void)state;
        for (size_t size = 0; size < 52; size++)
                assert_int_equal(hf_pr_out_encode(&out, cdb, list, size), -E2BIG);
        assert_int_equal(hf_pr_out_encode(&out, cdb, list, 52), 52);
        out.n_ids = HF_PR_IDS_MAX + 1;
        assert_int_equal(hf_pr_out_encode(&out, cdb, list, sizeof(list)), -E2BIG);
}

static void an_in_command_never_offers_more_than_a_helper_carries(void **state)
{
        uint8_t cdb[HF_PR_CDB_SIZE];

        (void)state;
        hf_pr_in_encode(HF_PR_READ_FULL_STATUS, 1 << 20, cdb);
        assert_int_equal(cdb[0], HF_PR_IN);
        assert_int_equal(hf_pr_in_action(cdb), HF_PR_READ_FULL_STATUS);
        assert_int_equal(hf_pr_length(cdb), HF_PR_DATA_MAX);
        hf_pr_in_encode(HF_PR_READ_KEYS, 9, cdb);
        assert_int_equal(hf_pr_length(cdb), 9);
}

static void names_and_numbers_lead_to_each_other(void **state)
{
        unsigned int types = 0;

        (void)state;
        for (unsigned int type = 0; type < 300; type++) {
                assert_int_equal(hf_pr_type_known(type), hf_pr_type_name(type) != NULL);
                if (!hf_pr_type_known(type))
                        continue;
                types |= 1u << type;
                assert_int_equal(hf_pr_type_of(hf_pr_type_name(type)), type);
        }
        assert_int_equal(types, 0x1ea);
        assert_int_equal(hf_pr_type_of("shared"), HF_PR_NONE);
        assert_string_equal(hf_pr_out_name(HF_PR_PREEMPT_AND_ABORT), "preempt-and-abort");
        assert_string_equal(hf_pr_out_name(HF_PR_REPLACE_LOST), "replace-lost");
        assert_null(hf_pr_out_name(9));
        assert_string_equal(hf_pr_in_name(HF_PR_READ_FULL_STATUS), "read-full-status");
        assert_null(hf_pr_in_name(4));
}

static void registrants_are_let_in_by_types_5_to_8_and_hold_by_7_and_8(void **state)
{
        (void)state;
        for (unsigned int type = 0; type < 300; type++) {
                assert_int_equal(hf_pr_type_for_registrants(type), type >= 5 && type <= 8);
                assert_int_equal(hf_pr_type_is_all(type), type == 7 || type == 8);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(an_out_command_is_read_as_the_standard_lays_it_out),
                cmocka_unit_test(register_and_move_has_its_flag_elsewhere),
                cmocka_unit_test(a_list_below_24_bytes_is_a_length_error),
                cmocka_unit_test(the_transport_ids_have_to_fit_what_came),
                cmocka_unit_test(no_more_transport_ids_are_taken_than_there_is_room_for),
                cmocka_unit_test(what_is_encoded_is_decoded_the_same),
                cmocka_unit_test(a_list_that_does_not_fit_is_not_written),
                cmocka_unit_test(an_in_command_never_offers_more_than_a_helper_carries),
                cmocka_unit_test(names_and_numbers_lead_to_each_other),
                cmocka_unit_test(registrants_are_let_in_by_types_5_to_8_and_hold_by_7_and_8),
        };

        return cmocka_run_group_tests_name("pr", tests, NULL, NULL);
}
