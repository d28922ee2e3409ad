/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/lease-clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#define S UINT64_C(1000000)

static const unsigned int leases[] = {5, 6, 10, 15, 45, 90, 120, 600, 3600};

static void an_answer_is_good_until_the_margin_before_the_end_of_its_lease(void **state)
{
        struct hf_lease_clock clock = {.lease = 10 * S, .last = 100 * S};

        (void)state;
        assert_int_equal(hf_lease_deadline(&clock), 108 * S);
        assert_true(hf_lease_is_sound(&clock, 108 * S - 1));
        assert_false(hf_lease_is_sound(&clock, 108 * S));
}

static void the_default_lease_leaves_eighteen_seconds_for_acting(void **state)
{
        struct hf_lease_clock clock = {.lease = 90 * S, .last = 0};

        (void)state;
        assert_int_equal(hf_lease_deadline(&clock), 72 * S);
        assert_int_equal(hf_lease_interval(90 * S), 18 * S);
        assert_int_equal(hf_lease_patience(90 * S), 5 * S);
        assert_int_equal(hf_lease_patience(10 * S), 1 * S);
}

static void what_was_asked_in_time_and_not_answered_changes_nothing(void **state)
{
        struct hf_lease_clock clock = {.lease = 10 * S, .last = 100 * S, .asked = 102 * S};

        (void)state;
        assert_int_equal(hf_lease_deadline(&clock), 108 * S);
}

static void a_daemon_that_could_not_ask_in_time_may_ask_once(void **state)
{
        struct hf_lease_clock clock = {.lease = 10 * S, .last = 100 * S, .asked = 130 * S};

        (void)state;
        assert_true(hf_lease_is_sound(&clock, 130 * S));
        assert_false(hf_lease_is_sound(&clock, 130 * S + hf_lease_margin(clock.lease) / 4));
        clock.expired = true;
        assert_false(hf_lease_is_sound(&clock, 130 * S));
}

static void a_lease_that_has_ended_is_not_sound_whatever_was_answered(void **state)
{
        struct hf_lease_clock clock = {.lease = 10 * S, .last = 100 * S, .expired = true};

        (void)state;
        assert_false(hf_lease_is_sound(&clock, 100 * S));
}

/* For each lease: questions every interval, of which the last ones are not answered any more. */
static void acting_ends_before_the_lease_whenever_the_server_falls_silent(void **state)
{
        (void)state;
        for (size_t i = 0; i < sizeof(leases) / sizeof(leases[0]); i++) {
                uint64_t lease = hf_lease_usec(leases[i]), step = hf_lease_interval(lease);

                for (uint64_t silent = 0; silent < 2 * step; silent += step / 16) {
                        uint64_t answered = silent / step * step, ended;
                        struct hf_lease_clock clock = {
                                .lease = lease, .last = answered, .asked = answered + step};

                        ended = hf_lease_deadline(&clock) + hf_lease_patience(lease);
                        assert_true(ended < answered + lease);
                        /* And not for one question that is lost, or two. */
                        assert_true(hf_lease_deadline(&clock) > answered + 2 * step);
                }
        }
}

static void absurd_leases_are_cut_to_what_is_believed(void **state)
{
        (void)state;
        assert_int_equal(hf_lease_usec(0), HF_LEASE_MIN_USEC);
        assert_int_equal(hf_lease_usec(1), HF_LEASE_MIN_USEC);
        assert_int_equal(hf_lease_usec(90), 90 * S);
        assert_int_equal(hf_lease_usec(4000000000U), HF_LEASE_MAX_USEC);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(an_answer_is_good_until_the_margin_before_the_end_of_its_lease),
                cmocka_unit_test(the_default_lease_leaves_eighteen_seconds_for_acting),
                cmocka_unit_test(what_was_asked_in_time_and_not_answered_changes_nothing),
                cmocka_unit_test(a_daemon_that_could_not_ask_in_time_may_ask_once),
                cmocka_unit_test(a_lease_that_has_ended_is_not_sound_whatever_was_answered),
                cmocka_unit_test(acting_ends_before_the_lease_whenever_the_server_falls_silent),
                cmocka_unit_test(absurd_leases_are_cut_to_what_is_believed),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
