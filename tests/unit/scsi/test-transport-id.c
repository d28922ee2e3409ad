/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "scsi/transport-id.h"

#include "base/cleanup.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <string.h>

#include <cmocka.h>

static void an_address_is_where_its_transport_has_it(void **state)
{
        const uint8_t fc[24] = {0x00, [8] = 0x50, [15] = 1};
        const uint8_t sas[24] = {0x06, [4] = 0x50, [11] = 2};
        struct hf_transport_id id;
        char text[HF_TRANSPORT_TEXT_MAX];

        (void)state;
        assert_int_equal(hf_transport_id_decode(fc, sizeof(fc), &id), 24);
        hf_transport_id_text(&id, text);
        assert_string_equal(text, "fc 0x5000000000000001");
        assert_int_equal(hf_transport_id_decode(sas, sizeof(sas), &id), 24);
        hf_transport_id_text(&id, text);
        assert_string_equal(text, "sas 0x5000000000000002");
        for (size_t n = 0; n < 24; n++) {
                assert_int_equal(hf_transport_id_decode(fc, n, &id), -EBADMSG);
                assert_int_equal(hf_transport_id_decode(sas, n, &id), -EBADMSG);
        }
}

static void an_iscsi_name_ends_within_its_length(void **state)
{
        uint8_t data[24] = {0x45, 0, 0, 20, 'i', 'q', 'n', '.', '1', '2', ',', 'i'};
        struct hf_transport_id id;

        (void)state;
        assert_int_equal(hf_transport_id_decode(data, sizeof(data), &id), 24);
        assert_int_equal(id.format, 1);
        assert_string_equal(id.name, "iqn.12,i");
        assert_int_equal(hf_transport_id_decode(data, sizeof(data) - 1, &id), -EBADMSG);
        data[3] = 18; /* no multiple of four */
        assert_int_equal(hf_transport_id_decode(data, sizeof(data), &id), -EBADMSG);
        data[3] = 8; /* the name is as long as that: no zero */
        assert_int_equal(hf_transport_id_decode(data, sizeof(data), &id), -EBADMSG);
        data[3] = 0;
        assert_int_equal(hf_transport_id_decode(data, sizeof(data), &id), -EBADMSG);
        data[3] = 20;
        data[4] = 0; /* nobody */
        assert_int_equal(hf_transport_id_decode(data, sizeof(data), &id), -EBADMSG);
}

static void the_longest_iscsi_name_fits_and_the_next_does_not(void **state)
{
        uint8_t data[HF_TRANSPORT_ID_MAX + 4] = {0x05, 0, 0, 252};
        struct hf_transport_id id, again;

        (void)state;
        memset(data + 4, 'x', 251);
        assert_int_equal(hf_transport_id_decode(data, sizeof(data), &id), HF_TRANSPORT_ID_MAX);
        assert_int_equal(strlen(id.name), 251);
        memset(data, 0, sizeof(data));
        assert_int_equal(hf_transport_id_encode(&id, data, sizeof(data)), HF_TRANSPORT_ID_MAX);
        assert_int_equal(hf_transport_id_decode(data, sizeof(data), &again), HF_TRANSPORT_ID_MAX);
        assert_memory_equal(&id, &again, sizeof(id));

        data[2] = 1; /* 256 */
        data[3] = 0;
        assert_int_equal(hf_transport_id_decode(data, sizeof(data), &id), -EBADMSG);
        memset(id.name, 'x', sizeof(id.name));
        assert_int_equal(hf_transport_id_encode(&id, data, sizeof(data)), -E2BIG);
}

static void other_transports_and_forms_are_refused(void **state)
{
        struct hf_transport_id id;

        (void)state;
        for (unsigned int first = 0; first < 256; first++) {
                const uint8_t data[24] = {(uint8_t)first, 0, 0, 20, 'i', 'q', 'n'};
                unsigned int protocol = first & 0x0f, format = first >> 6;
                bool fine = (format == 0 && (protocol == 0 || protocol == 6)) ||
                            (format <= 1 && protocol == 5);

                assert_int_equal(hf_transport_id_decode(data, sizeof(data), &id),
                                 fine ? 24 : -EBADMSG);
        }
}

static void a_name_cannot_steer_a_terminal(void **state)
{
        const struct hf_transport_id id = {.protocol = HF_TRANSPORT_ISCSI, .name = "a\033[2Jb\177"};
        char text[HF_TRANSPORT_TEXT_MAX];

        (void)state;
        hf_transport_id_text(&id, text);
        assert_string_equal(text, "a?[2Jb?");
}

static void a_short_name_is_padded_to_the_least_length(void **state)
{
        const struct hf_transport_id id = {.protocol = HF_TRANSPORT_ISCSI, .name = "a"};
        uint8_t data[24];

        (void)state;
        memset(data, 0xee, sizeof(data));
        assert_int_equal(hf_transport_id_encode(&id, data, sizeof(data)), 24);
        assert_int_equal(data[3], 20);
        for (size_t at = 5; at < sizeof(data); at++)
                assert_int_equal(data[at], 0);
        assert_int_equal(hf_transport_id_encode(&id, data, 23), -E2BIG);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(an_address_is_where_its_transport_has_it),
                cmocka_unit_test(an_iscsi_name_ends_within_its_length),
                cmocka_unit_test(the_longest_iscsi_name_fits_and_the_next_does_not),
                cmocka_unit_test(other_transports_and_forms_are_refused),
                cmocka_unit_test(a_name_cannot_steer_a_terminal),
                cmocka_unit_test(a_short_name_is_padded_to_the_least_length),
        };

        return cmocka_run_group_tests_name("transport-id", tests, NULL, NULL);
}
