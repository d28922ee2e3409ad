/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "prhelper/device/mpath-translate.h"

#include "scsi/bytes.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* A command with a list in memory of exactly its size, so that a sanitizer sees what is beyond. */
static enum hf_pr_fault decode(uint8_t action, const uint8_t *list, size_t n,
                               struct hf_mpath_command *ret)
{
        uint8_t cdb[HF_PR_CDB_SIZE] = {HF_PR_OUT, action, 0x05};
        uint8_t *copy = malloc(n ? n : 1);
        enum hf_pr_fault fault;

        assert_non_null(copy);
        memcpy(copy, list, n);
        fault = hf_mpath_decode(cdb, copy, n, ret);
        free(copy);
        return fault;
}

static void keys_and_flags_reach_the_library_as_they_came(void **state)
{
        uint8_t list[HF_PR_LIST_SIZE] = {[7] = 0x11, [15] = 0x22, [20] = 0x05};
        uint8_t cdb[HF_PR_CDB_SIZE] = {HF_PR_OUT, HF_PR_PREEMPT, 0x17};
        struct hf_mpath_command command;

        (void)state;
        assert_int_equal(hf_mpath_decode(cdb, list, sizeof(list), &command), HF_PR_FAULT_NONE);
        assert_int_equal(command.action, 4);
        assert_int_equal(command.scope, 1);
        assert_int_equal(command.type, 7);
        assert_memory_equal(command.out.key, list, 8);
        assert_memory_equal(command.out.new_key, list + 8, 8);
        assert_int_equal(command.out.flags, 0x05);
        assert_int_equal(command.out.n_ids, 0);
}

static void a_list_below_24_bytes_has_a_wrong_length(void **state)
{
        uint8_t list[HF_PR_LIST_SIZE] = {};
        struct hf_mpath_command command;

        (void)state;
        for (size_t n = 0; n < sizeof(list); n++)
                assert_int_equal(decode(0, list, n, &command), HF_PR_FAULT_LENGTH);
}

static void actions_that_the_library_has_not_are_invalid(void **state)
{
        static const uint8_t unknown[] = {7, 8, 0x1f, 0x20, 0x26, 0xff};
        uint8_t list[HF_PR_LIST_SIZE] = {};
        struct hf_mpath_command command;

        (void)state;
        for (uint8_t action = 0; action <= 6; action++)
                assert_int_equal(decode(action, list, sizeof(list), &command), HF_PR_FAULT_NONE);
        for (size_t i = 0; i < sizeof(unknown); i++) {
                uint8_t cdb[HF_PR_CDB_SIZE] = {HF_PR_IN, unknown[i]};

                assert_int_equal(decode(unknown[i], list, sizeof(list), &command), HF_PR_FAULT_CDB);
                assert_int_equal(hf_mpath_in_action(cdb), -EOPNOTSUPP);
        }
}

/* Three kinds of TransportID, and where they begin in the list. */
#define FC_AT    28
#define SAS_AT   52
#define ISCSI_AT 76
#define IDS_END  100

static void fill_ids(uint8_t list[static IDS_END])
{
        memset(list, 0, IDS_END);
        list[20] = 0x08;
        hf_put32(list + 24, IDS_END - 28);
        memcpy(list + FC_AT + 8, "\1\2\3\4\5\6\7\10", 8);
        list[SAS_AT] = 0x06;
        memcpy(list + SAS_AT + 4, "\x50\1\2\3\4\5\6\7", 8);
        list[ISCSI_AT] = 0x45;
        list[ISCSI_AT + 3] = 20;
        memcpy(list + ISCSI_AT + 4, "iqn.x:y,i,0x12", 14);
}

static void transport_ids_of_each_kind_are_unpacked(void **state)
{
        struct hf_mpath_command command;
        uint8_t list[IDS_END];

        (void)state;
        fill_ids(list);
        assert_int_equal(decode(0, list, sizeof(list), &command), HF_PR_FAULT_NONE);
        assert_int_equal(command.out.n_ids, 3);
        assert_int_equal(command.out.ids[0]->protocol, 0);
        assert_memory_equal(command.out.ids[0]->port, "\1\2\3\4\5\6\7\10", 8);
        assert_int_equal(command.out.ids[1]->protocol, 6);
        assert_memory_equal(command.out.ids[1]->port, "\x50\1\2\3\4\5\6\7", 8);
        assert_int_equal(command.out.ids[2]->protocol, 5);
        assert_int_equal(command.out.ids[2]->format, 0x40);
        assert_string_equal((const char *)command.out.ids[2]->name, "iqn.x:y,i,0x12");
        assert_ptr_equal(command.out.ids[2], &command.ids[2]);
}

static void transport_ids_cut_anywhere_are_refused(void **state)
{
        struct hf_mpath_command command;
        uint8_t list[IDS_END];

        (void)state;
        for (size_t n = 25; n < IDS_END; n++) {
                fill_ids(list);
                assert_int_equal(decode(0, list, n, &command),
                                 n < 28 ? HF_PR_FAULT_LENGTH : HF_PR_FAULT_FIELD);
                if (n < 28 || n == FC_AT || n == SAS_AT || n == ISCSI_AT)
                        continue;
                hf_put32(list + 24, (uint32_t)n - 28);
                assert_int_equal(decode(0, list, n, &command), HF_PR_FAULT_FIELD);
        }
}

static void a_transport_id_of_no_known_kind_is_refused(void **state)
{
        struct hf_mpath_command command;
        uint8_t list[IDS_END];

        (void)state;
        fill_ids(list);
        list[ISCSI_AT + 3] = 19;
        assert_int_equal(decode(0, list, sizeof(list), &command), HF_PR_FAULT_FIELD);
        fill_ids(list);
        memset(list + ISCSI_AT + 4, 'x', 20);
        assert_int_equal(decode(0, list, sizeof(list), &command), HF_PR_FAULT_FIELD);
        fill_ids(list);
        list[FC_AT] = 0x40;
        assert_int_equal(decode(0, list, sizeof(list), &command), HF_PR_FAULT_FIELD);
        fill_ids(list);
        list[FC_AT] = 0x03;
        assert_int_equal(decode(0, list, sizeof(list), &command), HF_PR_FAULT_FIELD);
}

static void more_transport_ids_than_the_library_takes_are_refused(void **state)
{
        static uint8_t list[HF_PR_DATA_MAX];
        struct hf_mpath_command command;

        (void)state;
        hf_put32(list + 24, 24 * HF_PR_IDS_MAX);
        assert_int_equal(decode(0, list, 28 + 24 * HF_PR_IDS_MAX, &command), HF_PR_FAULT_NONE);
        assert_int_equal(command.out.n_ids, HF_PR_IDS_MAX);
        hf_put32(list + 24, 24 * (HF_PR_IDS_MAX + 1));
        assert_int_equal(decode(0, list, 28 + 24 * (HF_PR_IDS_MAX + 1), &command),
                         HF_PR_FAULT_FIELD);
        /* As many as a list can have. */
        hf_put32(list + 24, sizeof(list) - 28);
        assert_int_equal(decode(0, list, sizeof(list), &command), HF_PR_FAULT_FIELD);
}

static void data_is_as_long_as_was_asked_for_and_zero_at_its_end(void **state)
{
        static union hf_mpath_in answer;
        uint8_t data[64];

        (void)state;
        answer.list = (struct hf_mpath_list){.generation = 0x01020304, .length = 16};
        memset(answer.list.entries, 0xaa, sizeof(answer.list.entries));
        memset(data, 0xff, sizeof(data));
        assert_int_equal(hf_mpath_encode(HF_PR_READ_KEYS, &answer, data, 40), 40);
        assert_memory_equal(data, "\1\2\3\4\0\0\0\x10\xaa\xaa", 10);
        assert_int_equal(data[23], 0xaa);
        for (size_t i = 24; i < 40; i++)
                assert_int_equal(data[i], 0);
        assert_int_equal(data[40], 0xff);
}

static void data_below_its_header_is_cut(void **state)
{
        static union hf_mpath_in answer;
        uint8_t data[8];

        (void)state;
        answer.list = (struct hf_mpath_list){.generation = 0x01020304};
        for (int action = 0; action <= 2; action++) {
                for (size_t room = 0; room <= sizeof(data); room++) {
                        memset(data, 0xff, sizeof(data));
                        assert_int_equal(hf_mpath_encode(action, &answer, data, room), room);
                        if (room < sizeof(data))
                                assert_int_equal(data[room], 0xff);
                }
        }
}

static void a_length_beyond_the_librarys_buffer_is_not_followed(void **state)
{
        static union hf_mpath_in answer;
        static uint8_t data[HF_PR_DATA_MAX];

        (void)state;
        answer.list = (struct hf_mpath_list){.length = 0xfffffff8};
        memset(answer.list.entries, 0xaa, sizeof(answer.list.entries));
        assert_int_equal(hf_mpath_encode(HF_PR_READ_KEYS, &answer, data, sizeof(data)),
                         sizeof(data));
        assert_int_equal(data[sizeof(data) - 1], 0xaa);
        assert_true(hf_get32(data + 4) == 0xfffffff8);
}

static void the_type_mask_is_right_in_both_orders(void **state)
{
        static const uint16_t masks[] = {0xea01, 0x01ea};
        static union hf_mpath_in answer;
        struct hf_pr_capabilities capabilities;
        uint8_t data[8];

        (void)state;
        for (size_t i = 0; i < 2; i++) {
                answer.capabilities = (struct hf_mpath_capabilities){
                        .length = 8, .flags = {0x1d, 0x90}, .type_mask = masks[i]};
                assert_int_equal(
                        hf_mpath_encode(HF_PR_REPORT_CAPABILITIES, &answer, data, sizeof(data)), 8);
                assert_memory_equal(data, "\0\10\x1d\x90\xea\1\0\0", 8);
                assert_int_equal(hf_pr_capabilities_decode(data, 8, &capabilities), 0);
                assert_int_equal(capabilities.type_mask,
                                 1 << 1 | 1 << 3 | 1 << 5 | 1 << 6 | 1 << 7 | 1 << 8);
        }
}

static void results_are_the_sense_that_qemus_helper_gives(void **state)
{
        static const struct {
                int code;
                bool ask;
                unsigned int status, key, sense;
        } expect[] = {
                {0, false, 0, 0, 0},         {1, false, 2, 0xb, 0x0800},
                {2, true, 2, 2, 0x0400},     {3, true, 2, 3, 0x1100},
                {4, true, 2, 4, 0x4400},     {5, false, 2, 5, 0x2600},
                {6, false, 2, 6, 0x2902},    {7, false, 2, 5, 0x2000},
                {8, true, 2, 0xb, 0x0006},   {9, false, 2, 0, 0},
                {10, false, 2, 0xb, 0x0800}, {11, false, 0x18, 0, 0},
                {12, false, 2, 0xb, 0x0800}, {15, false, 2, 0xb, 0x0800},
                {-1, false, 2, 0xb, 0x0800}, {16, false, 2, 0xb, 0x0800},
        };

        (void)state;
        for (size_t i = 0; i < sizeof(expect) / sizeof(expect[0]); i++) {
                struct hf_scsi_result result;
                unsigned int key, sense;

                assert_int_equal(hf_mpath_result(expect[i].code, &result), expect[i].ask);
                assert_int_equal(result.status, expect[i].status);
                assert_int_equal(result.size, 0);
                if (result.status != HF_SCSI_CHECK_CONDITION)
                        continue;
                assert_int_equal(hf_sense_decode(result.sense, &key, &sense), 0);
                assert_int_equal(key, expect[i].key);
                assert_int_equal(sense, expect[i].sense);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(keys_and_flags_reach_the_library_as_they_came),
                cmocka_unit_test(a_list_below_24_bytes_has_a_wrong_length),
                cmocka_unit_test(actions_that_the_library_has_not_are_invalid),
                cmocka_unit_test(transport_ids_of_each_kind_are_unpacked),
                cmocka_unit_test(transport_ids_cut_anywhere_are_refused),
                cmocka_unit_test(a_transport_id_of_no_known_kind_is_refused),
                cmocka_unit_test(more_transport_ids_than_the_library_takes_are_refused),
                cmocka_unit_test(data_is_as_long_as_was_asked_for_and_zero_at_its_end),
                cmocka_unit_test(data_below_its_header_is_cut),
                cmocka_unit_test(a_length_beyond_the_librarys_buffer_is_not_followed),
                cmocka_unit_test(the_type_mask_is_right_in_both_orders),
                cmocka_unit_test(results_are_the_sense_that_qemus_helper_gives),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
