/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a successor makes of a client that a kill found in the middle of something. */
#include "console/area.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct hf_con_session session;

/* left bytes were to be moved, with before in the pipe; after is in it now. */
static uint64_t recovered(uint64_t left, uint64_t before, uint64_t after)
{
        session.client.leaving = HF_CON_LEAVING | HF_CON_LEAVING_MOVING | left;
        session.client.pipe_before = before;
        hf_con_client_recover(&session, after);
        return hf_con_client_leaving(&session.client);
}

static void what_was_moved_before_a_kill_is_told_by_the_pipe(void **state)
{
        (void)state;
        assert_int_equal(recovered(100, 7, 7), HF_CON_LEAVING | 100);
        assert_int_equal(recovered(100, 7, 47), HF_CON_LEAVING | 60);
        assert_int_equal(recovered(100, 7, 107), HF_CON_LEAVING);
        assert_int_equal(recovered(100, 7, 999), HF_CON_LEAVING);
        assert_int_equal(recovered(100, 7, 0), HF_CON_LEAVING | 100);
}

static void what_was_not_being_moved_is_left_as_it_is(void **state)
{
        (void)state;
        session.client.leaving = HF_CON_LEAVING | 55;
        session.client.pipe_before = 1;
        hf_con_client_recover(&session, 30);
        assert_int_equal(hf_con_client_leaving(&session.client), HF_CON_LEAVING | 55);
        session.client.leaving = 0;
        hf_con_client_recover(&session, 30);
        assert_int_equal(hf_con_client_leaving(&session.client), 0);
}

static void a_clients_position_counts_what_the_kernel_has_noted(void **state)
{
        struct hf_con_client *client = &session.client;

        (void)state;
        client->out_index = 1;
        client->out[0].position = 5;
        client->out[1].position = 1000;
        client->out[1].vec.msg_len = 24;
        assert_int_equal(hf_con_client_position(client), 1024);
}

static void an_area_of_another_size_is_none_of_ours(void **state)
{
        struct hf_con_config config = {.scrollback = 64, .max_consoles = 2, .max_clients = 1};
        size_t size = hf_con_area_size(&config);
        struct hf_con_area *area = aligned_alloc(4096, (size + 4095) / 4096 * 4096);

        (void)state;
        assert_non_null(area);
        memset(area, 0, sizeof(*area));
        hf_con_area_init(area, &config);
        assert_true(hf_con_area_check(area, size));
        assert_true((uint8_t *)hf_con_area_bytes(area, 1) + 64 * 1024 <= (uint8_t *)area + size);
        area->n_touched = area->n_consoles_touched = area->n_listeners = 1U << 31;
        assert_true(hf_con_area_check(area, size));
        assert_int_equal(area->n_touched, area->n_slots);
        assert_int_equal(area->n_consoles_touched, 2);
        area->n_consoles = 3;
        assert_false(hf_con_area_check(area, size));
        area->n_consoles = 2;
        area->n_slots = 1U << 30;
        assert_false(hf_con_area_check(area, size));
        free(area);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(what_was_moved_before_a_kill_is_told_by_the_pipe),
                cmocka_unit_test(what_was_not_being_moved_is_left_as_it_is),
                cmocka_unit_test(a_clients_position_counts_what_the_kernel_has_noted),
                cmocka_unit_test(an_area_of_another_size_is_none_of_ours),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
