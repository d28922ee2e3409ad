/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "driver/sanlock/state.h"

#include "base/cleanup.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define CLEANUP hf_cleanup(hf_sanlock_state_clear)

#define TWO     "ls:one:/d/one:0:5 ls:two:/d/t\\:wo:1048576:SH"

static int parse(const char *text, struct hf_sanlock_state *ret)
{
        struct hf_lock_error err = {.size = sizeof(err)};
        int r = hf_sanlock_state_parse(text, ret, &err);

        if (r < 0) {
                assert_int_equal(err.code, HF_LOCK_E_INVALID);
                assert_non_null(strstr(err.text, "state"));
        }
        return r;
}

static void nothing_is_a_state_without_items(void **state)
{
        CLEANUP struct hf_sanlock_state none = {0}, empty = {0};
        hf_cleanup_free char *text = NULL;

        (void)state;
        assert_int_equal(parse(NULL, &none), 0);
        assert_int_equal(parse("", &empty), 0);
        assert_int_equal(none.n + empty.n, 0);
        assert_int_equal(hf_sanlock_state_text(&none, &text, NULL), 0);
        assert_null(text);
}

static void items_have_versions_or_are_shared(void **state)
{
        CLEANUP struct hf_sanlock_state two = {0};
        hf_cleanup_free char *text = NULL;
        const struct sanlk_resource *item;

        (void)state;
        assert_int_equal(parse(TWO, &two), 0);
        assert_int_equal(two.n, 2);
        item = hf_sanlock_state_find(&two, "ls", "one");
        assert_non_null(item);
        assert_int_equal(item->flags, SANLK_RES_LVER);
        assert_int_equal(item->lver, 5);
        item = hf_sanlock_state_find(&two, "ls", "two");
        assert_non_null(item);
        assert_int_equal(item->flags, SANLK_RES_SHARED);
        assert_string_equal(item->disks[0].path, "/d/t:wo");
        assert_null(hf_sanlock_state_find(&two, "other", "one"));
        assert_null(hf_sanlock_state_find(&two, "ls", "o"));
        assert_int_equal(hf_sanlock_state_text(&two, &text, NULL), 0);
        assert_string_equal(text, TWO);
}

static void of_two_items_for_one_lease_the_later_counts(void **state)
{
        CLEANUP struct hf_sanlock_state twice = {0};

        (void)state;
        assert_int_equal(parse("ls:one:/d:0:5 ls:one:/d:0:7", &twice), 0);
        assert_int_equal(hf_sanlock_state_find(&twice, "ls", "one")->lver, 7);
}

static void what_is_no_state_is_refused(void **state)
{
        static const char *const texts[] = {
                "nonsense",
                "a:b",
                "a:b:c",
                " ",
                "ls:one:/d:0:5  ls:two:/d:0:5",
                " ls:one:/d:0:5",
                "ls:one:/d:0:5\n",
                "ls:one:/d:0:5\tx",
                "\\",
                "a:b:c:\xff",
                ":::",
        };

        (void)state;
        for (size_t i = 0; i < HF_ARRAY_LEN(texts); i++) {
                CLEANUP struct hf_sanlock_state parsed = {0};

                if (parse(texts[i], &parsed) >= 0)
                        fail_msg("taken: \"%s\"", texts[i]);
                assert_int_equal(parsed.n, 0);
        }
}

static void no_item_is_longer_than_what_the_library_reads(void **state)
{
        CLEANUP struct hf_sanlock_state parsed = {0};
        char text[2 * SANLK_MAX_RES_STR];

        (void)state;
        for (size_t len = SANLK_PATH_LEN + 16; len < sizeof(text); len += 7) {
                memset(text, 'a', sizeof(text));
                memcpy(text, "ls:one:/", 8);
                (void)snprintf(text + len - 8, 8, ":0:5");
                assert_int_equal(parse(text, &parsed), -EINVAL);
        }
        memset(text, ':', sizeof(text));
        text[sizeof(text) - 1] = '\0';
        assert_int_equal(parse(text, &parsed), -EINVAL);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(nothing_is_a_state_without_items),
                cmocka_unit_test(items_have_versions_or_are_shared),
                cmocka_unit_test(of_two_items_for_one_lease_the_later_counts),
                cmocka_unit_test(what_is_no_state_is_refused),
                cmocka_unit_test(no_item_is_longer_than_what_the_library_reads),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
