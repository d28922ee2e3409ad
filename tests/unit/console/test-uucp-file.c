/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "console/uucp-private.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/sysmacros.h>

#include <cmocka.h>

#define PARSE(text) hf_uucp_parse((const uint8_t *)(text), sizeof(text) - 1)

static void a_pid_is_read_leniently(void **state)
{
        const int32_t number = 4711, negative = -4;

        (void)state;
        assert_int_equal(PARSE("      4711\n"), 4711);
        assert_int_equal(PARSE("4711"), 4711);
        assert_int_equal(PARSE("0042\n"), 42);
        assert_int_equal(PARSE("  4711 minicom root\n"), 4711);
        assert_int_equal(PARSE("4711\0rest"), 4711);
        assert_int_equal(hf_uucp_parse((const uint8_t *)&number, 4), 4711);
        assert_int_equal(hf_uucp_parse((const uint8_t *)&negative, 4), 0);
        assert_int_equal(PARSE("2147483647\n"), INT_MAX);
}

static void garbage_has_no_pid(void **state)
{
        (void)state;
        assert_int_equal(PARSE(""), 0);
        assert_int_equal(PARSE("\n"), 0);
        assert_int_equal(PARSE("garbage"), 0);
        assert_int_equal(PARSE("-12\n"), 0);
        assert_int_equal(PARSE("12x\n"), 0);
        assert_int_equal(PARSE("2147483648\n"), 0);
        assert_int_equal(PARSE("99999999999999999999999\n"), 0);
        assert_int_equal(PARSE("    "), 0);
}

static void each_program_has_its_own_name_for_a_terminal(void **state)
{
        struct hf_uucp_all all;
        struct hf_uucp uucp;

        (void)state;
        hf_uucp_all_names("/dev/ttyS0", makedev(4, 64), &all);
        assert_int_equal(all.n_made, 2);
        assert_string_equal(all.names[0], "LCK..ttyS0");
        assert_string_equal(all.names[1], "LCK.._ttyS0");
        assert_string_equal(all.names[2], "LCK.004.064");
        hf_uucp_names("/dev/pts/900003", 7, &uucp);
        assert_string_equal(uucp.names[0], "LCK..pts_900003");
        assert_string_equal(uucp.names[1], "LCK..900003");
        assert_string_equal(uucp.names[2], "LCK.._pts_900003");
        assert_int_equal(uucp.pid, 7);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_pid_is_read_leniently),
                cmocka_unit_test(garbage_has_no_pid),
                cmocka_unit_test(each_program_has_its_own_name_for_a_terminal),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
