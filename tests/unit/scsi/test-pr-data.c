/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "scsi/pr.h"

#include "base/cleanup.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static const uint64_t some_keys[] = {0x1111, UINT64_MAX, 3};

static void the_length_is_that_of_all_keys_however_few_fit(void **state)
{
        (void)state;
        for (size_t size = 0; size <= 40; size++) {
                uint8_t data[40];
                uint64_t keys[3] = {0};
                uint32_t generation;
                size_t n;
                int stored;

                memset(data, 0xee, sizeof(data));
                assert_int_equal(hf_pr_keys_encode(7, some_keys, 3, data, size),
                                 size < 32 ? size : 32);
                for (size_t at = size; at < sizeof(data); at++)
                        assert_int_equal(data[at], 0xee);
                stored = hf_pr_keys_decode(data, size, &generation, keys, 3, &n);
                if (size < 8) {
                        assert_int_equal(stored, -EBADMSG);
                        continue;
                }
                assert_int_equal(stored, size < 32 ? (size - 8) / 8 : 3);
                assert_int_equal(generation, 7);
                assert_int_equal(n, 3);
                assert_memory_equal(keys, some_keys, (size_t)stored * 8);
        }
}

static void no_more_keys_are_stored_than_there_is_room_for(void **state)
{
        uint8_t data[32];
        uint64_t keys[3] = {0};
        uint32_t generation;
        size_t n;

        (void)state;
        (void)hf_pr_keys_encode(7, some_keys, 3, data, sizeof(data));
        assert_int_equal(hf_pr_keys_decode(data, sizeof(data), &generation, keys, 1, &n), 1);
        assert_int_equal(n, 3);
        assert_true(keys[0] == 0x1111 && keys[1] == 0);
        data[7] = 23;
        assert_int_equal(hf_pr_keys_decode(data, sizeof(data), &generation, keys, 3, &n), -EBADMSG);
}

static void a_reservation_goes_there_and_back(void **state)
{
        const struct hf_pr_reservation some = {.generation = 9, .key = 0xabcd, .type = 6};
        const struct hf_pr_reservation none = {.generation = 9};
        struct hf_pr_reservation ret;
        uint8_t data[24];

        (void)state;
        assert_int_equal(hf_pr_reservation_encode(&some, data, sizeof(data)), 24);
        assert_int_equal(data[7], 16);
        assert_int_equal(data[14], 0xab);
        assert_int_equal(data[21], 6);
        assert_int_equal(hf_pr_reservation_decode(data, 24, &ret), 0);
        assert_int_equal(ret.generation, 9);
        assert_true(ret.key == 0xabcd && ret.type == 6 && ret.scope == 0);
        assert_int_equal(hf_pr_reservation_decode(data, 23, &ret), -EBADMSG);
        assert_int_equal(hf_pr_reservation_encode(&some, data, 10), 10);

        assert_int_equal(hf_pr_reservation_encode(&none, data, sizeof(data)), 8);
        assert_int_equal(data[7], 0);
        assert_int_equal(hf_pr_reservation_decode(data, 8, &ret), 0);
        assert_int_equal(ret.generation, 9);
        assert_true(ret.key == 0 && ret.type == HF_PR_NONE);
        assert_int_equal(hf_pr_reservation_decode(data, 7, &ret), -EBADMSG);
}

static void capabilities_are_read_as_a_disk_sends_them(void **state)
{
        static const uint8_t data[] = {0x00, 0x08, 0x1d, 0x90, 0xea, 0x01, 0x00, 0x00};
        struct hf_pr_capabilities ret;
        uint8_t again[8];

        (void)state;
        assert_int_equal(hf_pr_capabilities_decode(data, sizeof(data), &ret), 0);
        assert_true(!ret.rlr_c && ret.crh && ret.sip_c && ret.atp_c && ret.ptpl_c);
        assert_true(ret.tmv && !ret.ptpl_a);
        assert_int_equal(ret.allow, 1);
        assert_int_equal(ret.type_mask, 0x1ea);
        assert_int_equal(hf_pr_capabilities_encode(&ret, again, sizeof(again)), 8);
        assert_memory_equal(again, data, sizeof(data));
        assert_int_equal(hf_pr_capabilities_encode(&ret, again, 3), 3);
        for (size_t n = 0; n < 6; n++)
                assert_int_equal(hf_pr_capabilities_decode(data, n, &ret), -EBADMSG);
}

static void a_type_mask_is_understood_in_either_order(void **state)
{
        uint8_t data[8] = {0, 8, 0, 0x80};
        struct hf_pr_capabilities ret;

        (void)state;
        for (unsigned int mask = 0; mask < 0x200; mask++) {
                if (mask & ~0x1eau)
                        continue;
                data[4] = (uint8_t)mask;
                data[5] = (uint8_t)(mask >> 8);
                assert_int_equal(hf_pr_capabilities_decode(data, sizeof(data), &ret), 0);
                assert_int_equal(ret.type_mask, mask);
                data[4] = (uint8_t)(mask >> 8);
                data[5] = (uint8_t)mask;
                assert_int_equal(hf_pr_capabilities_decode(data, sizeof(data), &ret), 0);
                assert_int_equal(ret.type_mask, mask);
        }
}

static const struct hf_pr_registrant lines[] = {
        {.key = 1,
         .holder = true,
         .type = 5,
         .port = 2,
         .id = {.protocol = HF_TRANSPORT_SAS, .address = 0x5000}},
        {.key = 2,
         .all_tg_pt = true,
         .id = {.protocol = HF_TRANSPORT_ISCSI, .format = 1, .name = "iqn.1993-08.org:x,i,0x2"}},
};

static void full_status_goes_there_and_back(void **state)
{
        struct hf_pr_registrant ret[2];
        uint8_t data[200], again[200];
        uint32_t generation;
        size_t n;

        (void)state;
        assert_int_equal(hf_pr_full_status_encode(3, lines, 2, data, sizeof(data)), 8 + 48 + 52);
        assert_int_equal(data[7], 100);
        assert_int_equal(data[8 + 12], 1);
        assert_int_equal(data[8 + 13], 5);
        assert_int_equal(data[8 + 19], 2);
        assert_int_equal(data[8 + 23], 24);
        assert_int_equal(data[8 + 24], 6);
        assert_int_equal(hf_pr_full_status_decode(data, 108, &generation, ret, 2, &n), 2);
        assert_int_equal(generation, 3);
        assert_int_equal(n, 2);
        assert_int_equal(hf_pr_full_status_encode(3, ret, 2, again, sizeof(again)), 108);
        assert_memory_equal(again, data, 108);
        assert_int_equal(hf_pr_full_status_decode(data, 108, &generation, ret, 0, &n), 0);
        assert_int_equal(n, 2);
}

static void full_status_that_was_cut_says_that_there_is_more(void **state)
{
        struct hf_pr_registrant ret[2];
        uint8_t data[108];
        uint32_t generation;
        size_t n;

        (void)state;
        for (size_t size = 8; size < sizeof(data); size++) {
                assert_int_equal(hf_pr_full_status_encode(3, lines, 2, data, size), size);
                assert_int_equal(hf_pr_full_status_decode(data, size, &generation, ret, 2, &n),
                                 size < 56 ? 0 : 1);
                assert_int_equal(n, size < 56 ? 1 : 2);
        }
}

static void an_initiator_of_another_transport_does_not_hide_its_key(void **state)
{
        uint8_t data[8 + 48] = {[7] = 48, [15] = 5, [31] = 24, [32] = 0x04};
        struct hf_pr_registrant ret;
        char text[HF_TRANSPORT_TEXT_MAX];
        uint32_t generation;
        size_t n;

        (void)state;
        assert_int_equal(hf_pr_full_status_decode(data, sizeof(data), &generation, &ret, 1, &n), 1);
        assert_true(ret.key == 5);
        hf_transport_id_text(&ret.id, text);
        assert_string_equal(text, "other");
        data[31] = 25;
        assert_int_equal(hf_pr_full_status_decode(data, sizeof(data), &generation, &ret, 1, &n),
                         -EBADMSG);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(the_length_is_that_of_all_keys_however_few_fit),
                cmocka_unit_test(no_more_keys_are_stored_than_there_is_room_for),
                cmocka_unit_test(a_reservation_goes_there_and_back),
                cmocka_unit_test(capabilities_are_read_as_a_disk_sends_them),
                cmocka_unit_test(a_type_mask_is_understood_in_either_order),
                cmocka_unit_test(full_status_goes_there_and_back),
                cmocka_unit_test(full_status_that_was_cut_says_that_there_is_more),
                cmocka_unit_test(an_initiator_of_another_transport_does_not_hide_its_key),
        };

        return cmocka_run_group_tests_name("pr-data", tests, NULL, NULL);
}
