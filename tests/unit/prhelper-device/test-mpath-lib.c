/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "prhelper/device/mpath-lib.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void without_the_library_it_says_what_to_install(void **state)
{
        struct hf_mpath_lib lib;
        struct hf_error err;

        (void)state;
        assert_int_equal(hf_mpath_lib_load("libmpathpersist.so.none", &lib, &err), -ENOENT);
        assert_non_null(strstr(err.text, "libmpathpersist.so.none"));
        assert_non_null(strstr(err.text, "install multipath-tools 0.8.6 or newer"));
}

/* Any library without the newer calls will do for the older generation. */
static void a_library_of_the_older_generation_is_refused_in_words(void **state)
{
        struct hf_mpath_lib lib;
        struct hf_error err;

        (void)state;
        assert_int_equal(hf_mpath_lib_load("libc.so.6", &lib, &err), -EPROTO);
        assert_non_null(strstr(err.text, "before version 0.8.6"));
}

static int refused(void)
{
        errno = ECONNREFUSED;
        return -1;
}

static void a_daemon_that_does_not_answer_is_named(void **state)
{
        const struct hf_mpath_lib lib = {.connect = refused};
        struct hf_error err;

        (void)state;
        assert_int_equal(hf_mpath_lib_daemon(&lib, &err), -ECONNREFUSED);
        assert_non_null(strstr(err.text, "multipathd does not answer"));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(without_the_library_it_says_what_to_install),
                cmocka_unit_test(a_library_of_the_older_generation_is_refused_in_words),
                cmocka_unit_test(a_daemon_that_does_not_answer_is_named),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
