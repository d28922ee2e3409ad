/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Commands and data as the NVMe base specification lays them out, byte by byte. */

#include "prhelper/device/nvme-translate.h"

#include "scsi/bytes.h"

#include "base/cleanup.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define KEY     0x1122334455667788
#define NEW_KEY 0x99aabbccddeeff01

static const uint8_t both_keys[] = {0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11,
                                    0x01, 0xff, 0xee, 0xdd, 0xcc, 0xbb, 0xaa, 0x99};

static struct hf_nvme_plan plan_of(struct hf_pr_out out)
{
        struct hf_nvme_plan plan;

        assert_int_equal(hf_nvme_plan(&out, HF_PR_LIST_SIZE, &plan), HF_PR_FAULT_NONE);
        return plan;
}

static void register_goes_by_its_two_keys(void **state)
{
        struct hf_nvme_plan plan;

        (void)state;
        plan = plan_of((struct hf_pr_out){.action = HF_PR_REGISTER, .new_key = NEW_KEY});
        assert_int_equal(plan.first.opcode, 0x0d);
        assert_true(plan.first.cdw10 == (2U << 30 | 0));
        assert_int_equal(plan.first.size, 16);
        assert_memory_equal(plan.first.keys, "\0\0\0\0\0\0\0\0\x01\xff\xee\xdd\xcc\xbb\xaa\x99",
                            16);
        assert_false(plan.probe || plan.again || plan.absent_is_good);

        plan = plan_of((struct hf_pr_out){
                .action = HF_PR_REGISTER, .key = KEY, .new_key = NEW_KEY, .aptpl = true});
        assert_true(plan.first.cdw10 == (3U << 30 | 2));
        assert_memory_equal(plan.first.keys, both_keys, 16);

        plan = plan_of((struct hf_pr_out){.action = HF_PR_REGISTER, .key = KEY});
        assert_true(plan.first.cdw10 == (2U << 30 | 1));
        assert_memory_equal(plan.first.keys, both_keys, 8);

        plan = plan_of((struct hf_pr_out){.action = HF_PR_REGISTER});
        assert_true(plan.probe);
}

static void register_and_ignore_replaces_and_then_registers(void **state)
{
        struct hf_nvme_plan plan;

        (void)state;
        plan = plan_of((struct hf_pr_out){
                .action = HF_PR_REGISTER_AND_IGNORE, .key = KEY, .new_key = NEW_KEY});
        assert_true(plan.first.cdw10 == (2U << 30 | 1U << 3 | 2));
        assert_true(plan.again);
        assert_true(plan.second.cdw10 == (2U << 30 | 1U << 3 | 0));
        assert_memory_equal(plan.second.keys, "\0\0\0\0\0\0\0\0\x01\xff", 10);

        plan = plan_of((struct hf_pr_out){.action = HF_PR_REGISTER_AND_IGNORE, .key = KEY});
        assert_true(plan.first.cdw10 == (2U << 30 | 1U << 3 | 1));
        assert_true(plan.absent_is_good);
        assert_false(plan.again);
}

static void reservations_are_acquired_and_released_with_their_type(void **state)
{
        static const struct {
                uint8_t action, opcode, cdw10, size;
        } expect[] = {
                {HF_PR_RESERVE, 0x11, 0, 16},
                {HF_PR_PREEMPT, 0x11, 1, 16},
                {HF_PR_PREEMPT_AND_ABORT, 0x11, 2, 16},
                {HF_PR_RELEASE, 0x15, 0, 8},
        };
        static const uint8_t types[][2] = {{1, 1}, {3, 2}, {5, 3}, {6, 4}, {7, 5}, {8, 6}};

        (void)state;
        for (size_t i = 0; i < HF_ARRAY_LEN(expect); i++) {
                for (size_t j = 0; j < HF_ARRAY_LEN(types); j++) {
                        struct hf_nvme_plan plan = plan_of((struct hf_pr_out){
                                .action = expect[i].action,
                                .type = types[j][0],
                                .key = KEY,
                                .new_key = NEW_KEY,
                        });

                        assert_int_equal(plan.first.opcode, expect[i].opcode);
                        assert_int_equal(plan.first.cdw10,
                                         expect[i].cdw10 | (uint32_t)types[j][1] << 8);
                        assert_int_equal(plan.first.size, expect[i].size);
                        assert_memory_equal(plan.first.keys, both_keys, 8);
                        if (expect[i].action == HF_PR_PREEMPT)
                                assert_memory_equal(plan.first.keys, both_keys, 16);
                        assert_int_equal(hf_nvme_type_to_scsi(types[j][1]), types[j][0]);
                }
        }
}

static void clear_is_a_release_without_a_type(void **state)
{
        struct hf_nvme_plan plan = plan_of(
                (struct hf_pr_out){.action = HF_PR_CLEAR, .type = 5, .key = KEY});

        (void)state;
        assert_int_equal(plan.first.opcode, 0x15);
        assert_int_equal(plan.first.cdw10, 1);
        assert_int_equal(plan.first.size, 8);
}

static void what_nvme_has_not_is_refused(void **state)
{
        static const struct {
                struct hf_pr_out out;
                size_t n;
                enum hf_pr_fault fault;
        } expect[] = {
                {{.action = HF_PR_REGISTER_AND_MOVE}, 24, HF_PR_FAULT_CDB},
                {{.action = HF_PR_REPLACE_LOST}, 24, HF_PR_FAULT_CDB},
                {{.action = 31}, 24, HF_PR_FAULT_CDB},
                {{.action = HF_PR_REGISTER, .spec_i_pt = true}, 28, HF_PR_FAULT_FIELD},
                {{.action = HF_PR_REGISTER}, 25, HF_PR_FAULT_LENGTH},
                {{.action = HF_PR_RESERVE, .type = 2}, 24, HF_PR_FAULT_CDB},
                {{.action = HF_PR_RESERVE, .type = 0}, 24, HF_PR_FAULT_CDB},
                {{.action = HF_PR_RELEASE, .type = 9}, 24, HF_PR_FAULT_CDB},
                {{.action = HF_PR_PREEMPT, .type = 1, .scope = 1}, 24, HF_PR_FAULT_CDB},
        };
        struct hf_nvme_plan plan;

        (void)state;
        for (size_t i = 0; i < HF_ARRAY_LEN(expect); i++)
                assert_int_equal(hf_nvme_plan(&expect[i].out, expect[i].n, &plan), expect[i].fault);
}

/* Two hosts, of which the second holds a reservation of type 3 (write exclusive, registrants). */
static const uint8_t plain[72] = {
        7,        0,        0,    0,    3,    2,    0,    [9] = 1,     [24] = 0x05, 0x01,
        0,        [32] = 1, 2,    3,    4,    5,    6,    7,           8,           0x88,
        0x77,     0x66,     0x55, 0x44, 0x33, 0x22, 0x11, [48] = 0x06, 0x00,        1,
        [56] = 9, 9,        9,    9,    9,    9,    9,    9,           0x01,        0xff,
        0xee,     0xdd,     0xcc, 0xbb, 0xaa, 0x99,
};
static const uint8_t extended[192] = {
        7,    0,       0,
        0,    3,       2,
        0,    [9] = 1, [64] = 0x05,
        0x01, 0,       [72] = 0x88,
        0x77, 0x66,    0x55,
        0x44, 0x33,    0x22,
        0x11, 0x12,    0x34,
        0x56, 0x78,    0x9a,
        0xbc, 0xde,    0xf0,
        0x12, 0x34,    0x56,
        0x78, 0x9a,    0xbc,
        0xde, 0xf0,    [128] = 0x06,
        0x00, 1,       [136] = 0x01,
        0xff, 0xee,    0xdd,
        0xcc, 0xbb,    0xaa,
        0x99, 0xaa,    0xaa,
        0xaa, 0xaa,    0xaa,
        0xaa, 0xaa,    0xaa,
        0xaa, 0xaa,    0xaa,
        0xaa, 0xaa,    0xaa,
        0xaa, 0xaa,
};

static struct hf_nvme_report report;

static void check_report(bool is_extended)
{
        assert_int_equal(report.generation, 7);
        assert_int_equal(report.type, HF_PR_WRITE_EXCLUSIVE_REGISTRANTS);
        assert_true(report.persists);
        assert_int_equal(report.extended, is_extended);
        assert_int_equal(report.n, 2);
        assert_int_equal(report.registrants[0].controller, 0x0105);
        assert_false(report.registrants[0].holder);
        assert_true(report.registrants[0].key == KEY);
        assert_int_equal(report.registrants[1].controller, 6);
        assert_true(report.registrants[1].holder);
        assert_true(report.registrants[1].key == NEW_KEY);
}

static void a_report_is_read_in_both_forms(void **state)
{
        (void)state;
        assert_int_equal(hf_nvme_report_size(plain, false), 72);
        assert_int_equal(hf_nvme_report_decode(plain, sizeof(plain), false, &report), 0);
        check_report(false);
        assert_memory_equal(report.registrants[0].host, "\1\2\3\4\5\6\7\10", 8);

        assert_int_equal(hf_nvme_report_size(extended, true), 192);
        assert_int_equal(hf_nvme_report_decode(extended, sizeof(extended), true, &report), 0);
        check_report(true);
        assert_memory_equal(report.registrants[0].host, extended + 80, 16);
}

static void a_controller_that_does_not_know_the_extended_form_is_understood(void **state)
{
        uint8_t data[4096] = {};

        (void)state;
        memcpy(data, plain, sizeof(plain));
        assert_int_equal(hf_nvme_report_decode(data, sizeof(data), true, &report), 0);
        check_report(false);
}

static void a_report_that_announces_more_than_came_is_refused(void **state)
{
        uint8_t data[192];

        (void)state;
        for (size_t n = 0; n < sizeof(extended); n++) {
                uint8_t *copy = malloc(n + 1);

                assert_non_null(copy);
                memcpy(copy, extended, n);
                assert_int_equal(hf_nvme_report_decode(copy, n, true, &report), -EBADMSG);
                free(copy);
        }
        memcpy(data, extended, sizeof(data));
        data[5] = data[6] = 0xff;
        assert_int_equal(hf_nvme_report_decode(data, sizeof(data), true, &report), -EBADMSG);
        assert_int_equal(hf_nvme_report_size(data, true), -E2BIG);
        memcpy(data, extended, sizeof(data));
        data[4] = 7;
        assert_int_equal(hf_nvme_report_decode(data, sizeof(data), true, &report), -EBADMSG);
}

static void this_host_is_found_among_the_registrants(void **state)
{
        uint8_t host[HF_NVME_HOST_MAX] = {1, 2, 3, 4, 5, 6, 7, 8};

        (void)state;
        assert_int_equal(hf_nvme_report_decode(plain, sizeof(plain), false, &report), 0);
        assert_true(hf_nvme_report_has(&report, host));
        host[7] = 0;
        assert_false(hf_nvme_report_has(&report, host));
        assert_int_equal(hf_nvme_report_decode(extended, sizeof(extended), true, &report), 0);
        memset(host, 0xaa, sizeof(host));
        assert_true(hf_nvme_report_has(&report, host));
        host[15] = 0;
        assert_false(hf_nvme_report_has(&report, host));
}

static void keys_and_reservation_are_those_of_the_report(void **state)
{
        static const uint8_t keys[] = {0,    0,    0,    7,    0,    0,    0,    16,
                                       0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88,
                                       0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff, 0x01};
        struct hf_pr_reservation reservation;
        uint8_t data[64];

        (void)state;
        assert_int_equal(hf_nvme_report_decode(plain, sizeof(plain), false, &report), 0);
        assert_int_equal(hf_nvme_in(HF_PR_READ_KEYS, &report, 0, data, sizeof(data)), 24);
        assert_memory_equal(data, keys, sizeof(keys));
        assert_int_equal(hf_nvme_in(HF_PR_READ_RESERVATION, &report, 0, data, sizeof(data)), 24);
        assert_int_equal(hf_pr_reservation_decode(data, 24, &reservation), 0);
        assert_true(reservation.key == NEW_KEY);
        assert_int_equal(reservation.type, HF_PR_WRITE_EXCLUSIVE_REGISTRANTS);

        report.type = HF_PR_WRITE_EXCLUSIVE_ALL;
        assert_int_equal(hf_nvme_in(HF_PR_READ_RESERVATION, &report, 0, data, sizeof(data)), 24);
        assert_int_equal(hf_pr_reservation_decode(data, 24, &reservation), 0);
        assert_true(reservation.key == 0);
        assert_int_equal(reservation.type, HF_PR_WRITE_EXCLUSIVE_ALL);
}

static void capabilities_are_those_of_the_namespace(void **state)
{
        uint8_t data[8];

        (void)state;
        assert_int_equal(hf_nvme_report_decode(plain, sizeof(plain), false, &report), 0);
        assert_int_equal(hf_nvme_in(HF_PR_REPORT_CAPABILITIES, &report, 0xff, data, 8), 8);
        assert_memory_equal(data, "\0\10\x05\x81\xea\x01\0\0", 8);
        assert_int_equal(hf_nvme_in(HF_PR_REPORT_CAPABILITIES, &report, 0x0a, data, 8), 8);
        assert_memory_equal(data, "\0\10\x04\x81\x22\0\0\0", 8);
}

static void full_status_names_hosts_and_controllers(void **state)
{
        struct hf_pr_registrant all[4];
        uint8_t data[512];
        uint32_t generation;
        size_t n;
        int size;

        (void)state;
        assert_int_equal(hf_nvme_report_decode(extended, sizeof(extended), true, &report), 0);
        size = hf_nvme_in(HF_PR_READ_FULL_STATUS, &report, 0, data, sizeof(data));
        assert_true(size > 0);
        assert_int_equal(hf_pr_full_status_decode(data, (size_t)size, &generation, all, 4, &n), 2);
        assert_int_equal(n, 2);
        assert_int_equal(all[0].port, 0x0105);
        assert_false(all[0].holder);
        assert_true(all[1].holder && all[1].type == HF_PR_WRITE_EXCLUSIVE_REGISTRANTS);
        assert_string_equal(all[0].id.name,
                            "nqn.2014-08.org.nvmexpress:uuid:12345678-9abc-def0-1234-56789abcdef0");
        assert_int_equal(hf_nvme_report_decode(plain, sizeof(plain), false, &report), 0);
        size = hf_nvme_in(HF_PR_READ_FULL_STATUS, &report, 0, data, sizeof(data));
        assert_int_equal(hf_pr_full_status_decode(data, (size_t)size, &generation, all, 4, &n), 2);
        assert_string_equal(all[0].id.name, "eui.0807060504030201");
        assert_int_equal(hf_nvme_in(4, &report, 0, data, sizeof(data)), -EOPNOTSUPP);
}

static void data_is_cut_to_what_was_asked_for(void **state)
{
        uint8_t data[64];

        (void)state;
        assert_int_equal(hf_nvme_report_decode(extended, sizeof(extended), true, &report), 0);
        for (unsigned int action = 0; action <= 3; action++) {
                for (size_t room = 0; room < sizeof(data); room++) {
                        memset(data, 0xee, sizeof(data));
                        assert_true(hf_nvme_in(action, &report, 0xff, data, room) <= (int)room);
                        assert_int_equal(data[room], 0xee);
                }
        }
}

static void a_status_is_what_scsi_says_in_its_place(void **state)
{
        static const struct {
                unsigned int status;
                int action;
                unsigned int scsi, key, code;
        } expect[] = {
                {0, 0, 0, 0, 0},
                {0x83, 1, 0x18, 0, 0},
                {0x4083, 1, 0x18, 0, 0},
                {0x4001, 1, 2, 5, 0x2000},
                {0x4002, HF_PR_RESERVE, 2, 5, 0x2400},
                {0x4002, HF_PR_RELEASE, 2, 5, 0x2604},
                {0x4002, HF_PR_PREEMPT, 2, 5, 0x2600},
                {0x4002, -1, 2, 5, 0x2400},
                {0x400b, -1, 2, 5, 0x2400},
                {0x0082, 0, 2, 2, 0x0400},
                {0x0371, 0, 8, 0, 0},
                {0x0006, 0, 2, 4, 0x4400},
                {0x0007, 0, 2, 0xb, 0x0006},
                {0x0183, 0, 2, 4, 0x4400},
        };

        (void)state;
        for (size_t i = 0; i < HF_ARRAY_LEN(expect); i++) {
                struct hf_scsi_result result;
                unsigned int key, code;

                hf_nvme_result(expect[i].status, expect[i].action, &result);
                assert_int_equal(result.status, expect[i].scsi);
                if (result.status != HF_SCSI_CHECK_CONDITION)
                        continue;
                assert_int_equal(hf_sense_decode(result.sense, &key, &code), 0);
                assert_int_equal(key, expect[i].key);
                assert_int_equal(code, expect[i].code);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(register_goes_by_its_two_keys),
                cmocka_unit_test(register_and_ignore_replaces_and_then_registers),
                cmocka_unit_test(reservations_are_acquired_and_released_with_their_type),
                cmocka_unit_test(clear_is_a_release_without_a_type),
                cmocka_unit_test(what_nvme_has_not_is_refused),
                cmocka_unit_test(a_report_is_read_in_both_forms),
                cmocka_unit_test(a_controller_that_does_not_know_the_extended_form_is_understood),
                cmocka_unit_test(a_report_that_announces_more_than_came_is_refused),
                cmocka_unit_test(this_host_is_found_among_the_registrants),
                cmocka_unit_test(keys_and_reservation_are_those_of_the_report),
                cmocka_unit_test(capabilities_are_those_of_the_namespace),
                cmocka_unit_test(full_status_names_hosts_and_controllers),
                cmocka_unit_test(data_is_cut_to_what_was_asked_for),
                cmocka_unit_test(a_status_is_what_scsi_says_in_its_place),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
