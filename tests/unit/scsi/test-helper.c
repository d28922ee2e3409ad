/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "scsi/helper.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void make_frame(uint32_t status, uint32_t size, uint8_t frame[static HF_HELPER_ANSWER_SIZE])
{
        memset(frame, 0x5a, HF_HELPER_ANSWER_SIZE);
        for (int i = 0; i < 4; i++) {
                frame[i] = (uint8_t)(status >> (24 - 8 * i));
                frame[4 + i] = (uint8_t)(size >> (24 - 8 * i));
        }
}

static void test_an_answer_is_the_same_at_the_other_end(void **state)
{
        uint8_t frame[HF_HELPER_ANSWER_SIZE];
        struct hf_scsi_result sent, came;

        (void)state;
        hf_scsi_refuse(&sent, HF_SENSE_ILLEGAL_REQUEST, HF_ASC_INVALID_FIELD_IN_CDB);
        hf_helper_answer_encode(&sent, frame);
        assert_int_equal(hf_helper_answer_decode(frame, 0, &came), 0);
        assert_memory_equal(came.sense, sent.sense, HF_SENSE_SIZE);
        assert_int_equal(came.status, HF_SCSI_CHECK_CONDITION);
        hf_scsi_status(&sent, HF_SCSI_GOOD);
        sent.size = 4711;
        hf_helper_answer_encode(&sent, frame);
        assert_int_equal(hf_helper_answer_decode(frame, 8192, &came), 0);
        assert_int_equal(came.size, 4711);
}

static void test_numbers_are_in_network_order_and_sense_behind_them(void **state)
{
        uint8_t frame[HF_HELPER_ANSWER_SIZE];
        struct hf_scsi_result sent = {.status = 0x18, .size = 0x01020304};

        (void)state;
        sent.sense[0] = 0x70;
        sent.sense[HF_SENSE_SIZE - 1] = 0xee;
        hf_helper_answer_encode(&sent, frame);
        assert_memory_equal(frame, "\0\0\0\x18\1\2\3\4\x70", 9);
        assert_int_equal(frame[HF_HELPER_ANSWER_SIZE - 1], 0xee);
}

static void expect_bad(uint32_t status, uint32_t size, size_t room)
{
        uint8_t frame[HF_HELPER_ANSWER_SIZE];
        struct hf_scsi_result result = {.size = 77};

        make_frame(status, size, frame);
        assert_int_equal(hf_helper_answer_decode(frame, room, &result), -EBADMSG);
        assert_int_equal(result.size, 77);
}

static void test_a_frame_that_cannot_be_followed_is_refused(void **state)
{
        (void)state;
        expect_bad(0, 9, 8);
        expect_bad(0, 1, 0);
        expect_bad(0, 0xffffffff, 8192);
        expect_bad(2, 1, 8);
        expect_bad(0x100, 0, 8);
        expect_bad(0xffffffff, 0, 8);
}

static void test_sense_without_a_check_condition_is_not_taken(void **state)
{
        uint8_t frame[HF_HELPER_ANSWER_SIZE], none[HF_SENSE_SIZE] = {0};
        struct hf_scsi_result result;

        (void)state;
        make_frame(HF_SCSI_BUSY, 0, frame);
        assert_int_equal(hf_helper_answer_decode(frame, 8, &result), 0);
        assert_memory_equal(result.sense, none, sizeof(none));
}

static void expect_text(struct hf_scsi_result result, const char *words)
{
        char text[HF_SCSI_TEXT_MAX];

        hf_scsi_text(&result, text);
        assert_string_equal(text, words);
}

static void test_results_have_words(void **state)
{
        struct hf_scsi_result result;

        (void)state;
        expect_text((struct hf_scsi_result){.status = HF_SCSI_GOOD}, "good");
        expect_text((struct hf_scsi_result){.status = HF_SCSI_RESERVATION_CONFLICT},
                    "reservation conflict");
        expect_text((struct hf_scsi_result){.status = 0x30}, "status 30");
        hf_scsi_refuse(&result, HF_SENSE_ILLEGAL_REQUEST, HF_ASC_INVALID_FIELD_IN_CDB);
        expect_text(result, "illegal request: invalid field in CDB (5/24/00)");
        hf_scsi_refuse(&result, (enum hf_sense_key)0xd, 0x1234);
        expect_text(result, "sense (d/12/34)");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_an_answer_is_the_same_at_the_other_end),
                cmocka_unit_test(test_numbers_are_in_network_order_and_sense_behind_them),
                cmocka_unit_test(test_a_frame_that_cannot_be_followed_is_refused),
                cmocka_unit_test(test_sense_without_a_check_condition_is_not_taken),
                cmocka_unit_test(test_results_have_words),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
