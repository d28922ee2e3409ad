/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "driver/sanlock/timing.h"

#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define NOW 100000

static void times_are_those_that_were_measured(void **state)
{
        struct hf_sanlock_timing ten = hf_sanlock_timing(10, 60, 40),
                                 one = hf_sanlock_timing(1, 60, 40);

        (void)state;
        assert_int_equal(ten.renewal, 20);
        assert_int_equal(ten.failed, 80);
        assert_int_equal(ten.kill, 120);
        assert_int_equal(ten.reset, 140);
        assert_int_equal(ten.join, 21);
        assert_int_equal(ten.join_again, 161);
        assert_int_equal(ten.join_in_use, 141);
        assert_int_equal(one.failed, 8);
        assert_int_equal(one.kill, 48);
        assert_int_equal(one.reset, 68);
        assert_int_equal(one.join, 3);
        assert_int_equal(one.request, 4);
}

static const struct hf_sanlock_host *host(enum hf_sanlock_host_state is, unsigned int silent_s)
{
        static struct hf_sanlock_host host;

        host = (struct hf_sanlock_host){.id = 2,
                                        .generation = 3,
                                        .name = "beta",
                                        .io_timeout = 1,
                                        .last_live = NOW - silent_s,
                                        .state = is};
        return &host;
}

static void a_failing_host_is_out_when_its_watchdog_has_fired(void **state)
{
        (void)state;
        assert_int_equal(hf_sanlock_available_in(host(HF_SANLOCK_HOST_FAIL, 34), 60, NOW), 34);
        assert_int_equal(hf_sanlock_available_in(host(HF_SANLOCK_HOST_FAIL, 68), 60, NOW), 0);
        assert_int_equal(hf_sanlock_available_in(host(HF_SANLOCK_HOST_FAIL, 900), 60, NOW), 0);
        assert_int_equal(hf_sanlock_available_in(host(HF_SANLOCK_HOST_DEAD, 1), 60, NOW), 0);
        assert_int_equal(hf_sanlock_available_in(host(HF_SANLOCK_HOST_FREE, 1), 60, NOW), 0);
        assert_int_equal(hf_sanlock_available_in(host(HF_SANLOCK_HOST_LIVE, 1), 60, NOW), UINT_MAX);
        assert_int_equal(hf_sanlock_available_in(host(HF_SANLOCK_HOST_UNKNOWN, 1), 60, NOW),
                         UINT_MAX);
}

static const char *words(enum hf_sanlock_host_state is, unsigned int silent_s)
{
        static char text[256];

        hf_sanlock_host_words(host(is, silent_s), 60, NOW, text, sizeof(text));
        return text;
}

static void a_host_is_put_in_words(void **state)
{
        (void)state;
        assert_string_equal(words(HF_SANLOCK_HOST_LIVE, 0), "host 2 (beta, generation 3) is alive");
        assert_string_equal(words(HF_SANLOCK_HOST_FAIL, 34),
                            "host 2 (beta, generation 3) is lost: available in 34 s");
        assert_string_equal(words(HF_SANLOCK_HOST_DEAD, 99),
                            "host 2 (beta, generation 3) is gone: available now");
        assert_string_equal(words(HF_SANLOCK_HOST_UNKNOWN, 0),
                            "host 2 (beta, generation 3) has not been heard of yet");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(times_are_those_that_were_measured),
                cmocka_unit_test(a_failing_host_is_out_when_its_watchdog_has_fired),
                cmocka_unit_test(a_host_is_put_in_words),
        };

        return cmocka_run_group_tests_name("sanlock-timing", tests, NULL, NULL);
}
