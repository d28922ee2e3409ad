/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/strv.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

static void a_list_grows_and_stays_closed_by_null(void **state)
{
        hf_cleanup_strv char **list = NULL;
        char text[16];

        (void)state;
        for (size_t i = 0; i < 100; i++) {
                (void)snprintf(text, sizeof(text), "n%zu", i);
                assert_int_equal(hf_strv_append(&list, text), 0);
                assert_int_equal(hf_strv_len(list), i + 1);
                assert_string_equal(list[i], text);
                assert_null(list[i + 1]);
        }
        assert_string_equal(list[0], "n0");
}

static void a_part_of_a_string_can_be_appended(void **state)
{
        hf_cleanup_strv char **list = NULL;

        (void)state;
        assert_int_equal(hf_strv_append_n(&list, "abcdef", 3), 0);
        assert_string_equal(list[0], "abc");
}

static void null_is_the_empty_list(void **state)
{
        (void)state;
        assert_int_equal(hf_strv_len(NULL), 0);
        hf_strv_free(NULL);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_list_grows_and_stays_closed_by_null),
                cmocka_unit_test(a_part_of_a_string_can_be_appended),
                cmocka_unit_test(null_is_the_empty_list),
        };

        return cmocka_run_group_tests_name("strv", tests, NULL, NULL);
}
