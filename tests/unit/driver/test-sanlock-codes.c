/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "driver/sanlock/codes.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define HF_ALL_CALLS (HF_SANLOCK_SETUP + 1)

/* Every code that sanlock 3.8.5 can give and newer ones that matter, without the errnos. */
static const int own[] = {-201, -202, -203, -210, -211, -212, -213, -214, -220, -221,
                          -222, -223, -224, -225, -226, -227, -228, -229, -230, -231,
                          -240, -241, -242, -243, -244, -245, -246, -247, -249, -250,
                          -251, -260, -261, -262, -270, -271, -272, -273, -281, -285};
static const int system_codes[] = {-EPERM,        -ENOENT,     -ESRCH,    -EAGAIN,  -EBUSY,
                                   -EEXIST,       -EINVAL,     -ERANGE,   -ENOSPC,  -EMSGSIZE,
                                   -EINPROGRESS,  -ESTALE,     -ENOTTY,   -EUCLEAN, -EACCES,
                                   -ECONNREFUSED, -ECONNRESET, -ETIMEDOUT};

static const char unknown[] = "an error that is not known here";

static void each_of_its_own_codes_has_words_in_every_call(void **state)
{
        (void)state;
        for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++)
                for (int call = 0; call < HF_ALL_CALLS; call++) {
                        const struct hf_sanlock_code *code = hf_sanlock_code(call, own[i]);

                        assert_string_not_equal(code->text, unknown);
                        assert_true(code->number > 0);
                        assert_true(code->code > HF_LOCK_OK && code->code <= HF_LOCK_E_STALE);
                }
}

static void each_errno_of_an_acquire_has_words(void **state)
{
        (void)state;
        for (size_t i = 0; i < sizeof(system_codes) / sizeof(system_codes[0]); i++)
                assert_string_not_equal(hf_sanlock_code(HF_SANLOCK_ACQUIRE, system_codes[i])->text,
                                        unknown);
}

static void what_is_missing_depends_on_the_call(void **state)
{
        (void)state;
        assert_int_equal(hf_sanlock_code(HF_SANLOCK_REGISTER, -ENOENT)->code, HF_LOCK_E_NO_DAEMON);
        assert_int_equal(hf_sanlock_code(HF_SANLOCK_ACQUIRE, -ENOENT)->code, HF_LOCK_E_CONFIG);
        assert_int_equal(hf_sanlock_code(HF_SANLOCK_LEAVE, -ENOENT)->code, HF_LOCK_E_CONFIG);
        assert_non_null(strstr(hf_sanlock_code(HF_SANLOCK_LEAVE, -ENOENT)->text, "not joined"));
}

static void no_space_in_an_acquire_is_a_lockspace_that_is_not_joined(void **state)
{
        const struct hf_sanlock_code *code = hf_sanlock_code(HF_SANLOCK_ACQUIRE, -ENOSPC);

        (void)state;
        assert_int_equal(code->code, HF_LOCK_E_CONFIG);
        assert_non_null(strstr(code->text, "holdfast sanlock join"));
        assert_int_equal(hf_sanlock_code(HF_SANLOCK_FORMAT, -ENOSPC)->number, ENOSPC);
}

static void refusals_are_busy_and_a_used_lease_is_stale(void **state)
{
        static const int refusals[] = {-EEXIST, -EAGAIN, -EBUSY, -243, -244, -245, -246, -247};

        (void)state;
        for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
                const struct hf_sanlock_code *code = hf_sanlock_code(HF_SANLOCK_ACQUIRE,
                                                                     refusals[i]);

                assert_int_equal(code->code, HF_LOCK_E_BUSY);
                assert_int_equal(code->number, EBUSY);
        }
        assert_int_equal(hf_sanlock_code(HF_SANLOCK_ACQUIRE, -240)->code, HF_LOCK_E_STALE);
        assert_int_equal(hf_sanlock_code(HF_SANLOCK_ACQUIRE, -240)->number, ESTALE);
}

static void an_error_says_what_was_wanted_what_it_means_and_the_number(void **state)
{
        struct hf_lock_error err = {.size = sizeof(err)};

        (void)state;
        assert_int_equal(hf_sanlock_fail(&err, HF_SANLOCK_ACQUIRE, -243,
                                         "cannot take the lease of %s", "/disk"),
                         -EBUSY);
        assert_string_equal(err.text, "cannot take the lease of /disk: it is held by another host "
                                      "(sanlock: -243)");
        assert_int_equal(err.code, HF_LOCK_E_BUSY);
        assert_int_equal(err.sys, 0);
}

static void an_errno_that_is_not_listed_is_put_in_the_words_of_the_system(void **state)
{
        struct hf_lock_error err = {.size = sizeof(err)};

        (void)state;
        assert_int_equal(hf_sanlock_fail(&err, HF_SANLOCK_READ, -EISDIR, "x"), -EIO);
        assert_string_equal(err.text, "x: Is a directory (sanlock: -21)");
        assert_int_equal(hf_sanlock_fail(&err, HF_SANLOCK_READ, -999, "x"), -EIO);
        assert_string_equal(err.text, "x: an error that is not known here (sanlock: -999)");
}

static void words_of_the_table_are_not_cut_by_a_long_beginning(void **state)
{
        struct hf_lock_error err = {.size = sizeof(err)};
        char path[4096];

        (void)state;
        memset(path, 'p', sizeof(path) - 1);
        path[sizeof(path) - 1] = '\0';
        for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++) {
                (void)hf_sanlock_fail(&err, HF_SANLOCK_JOIN, own[i], "%s", path);
                assert_non_null(strstr(err.text, "(sanlock: -2"));
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(each_of_its_own_codes_has_words_in_every_call),
                cmocka_unit_test(each_errno_of_an_acquire_has_words),
                cmocka_unit_test(what_is_missing_depends_on_the_call),
                cmocka_unit_test(no_space_in_an_acquire_is_a_lockspace_that_is_not_joined),
                cmocka_unit_test(refusals_are_busy_and_a_used_lease_is_stale),
                cmocka_unit_test(an_error_says_what_was_wanted_what_it_means_and_the_number),
                cmocka_unit_test(an_errno_that_is_not_listed_is_put_in_the_words_of_the_system),
                cmocka_unit_test(words_of_the_table_are_not_cut_by_a_long_beginning),
        };

        return cmocka_run_group_tests_name("sanlock-codes", tests, NULL, NULL);
}
