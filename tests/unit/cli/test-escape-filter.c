/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/escape-filter.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define UNKNOWN "\xef\xbf\xbd"

static const char *filtered(const char *in, bool colours, bool utf8)
{
        static char out[HF_ESCAPE_FILTER_ROOM(8192) + 8];
        struct hf_escape_filter filter;
        size_t n;

        hf_escape_filter_init(&filter, colours, utf8);
        n = hf_escape_filter(&filter, in, strlen(in), out);
        n += hf_escape_filter_end(&filter, out + n);
        out[n] = '\0';
        return out;
}

struct row {
        const char *in, *out;
};

static void check(const struct row *rows, size_t n, bool colours)
{
        for (size_t i = 0; i < n; i++)
                assert_string_equal(filtered(rows[i].in, colours, true), rows[i].out);
}

#define CHECK(rows, colours) check(rows, sizeof(rows) / sizeof(rows[0]), colours)

static void text_passes(void **state)
{
        static const struct row rows[] = {
                {"plain\ttext\r\n", "plain\ttext\r\n"},
                {"a\bb", "a\bb"},
                {"\xc3\xbc \xe2\x82\xac \xf0\x9f\x99\x82",
                 "\xc3\xbc \xe2\x82\xac \xf0\x9f\x99\x82"},
        };

        (void)state;
        CHECK(rows, false);
        CHECK(rows, true);
}

static void what_makes_a_terminal_answer_or_do_something_is_dropped(void **state)
{
        static const struct row rows[] = {
                {"a\x1b]0;title\ab", "ab"},
                {"a\x1b]52;c;ZXZpbA==\x1b\\b", "ab"},
                {"a\x1bP$qm\x1b\\b", "ab"},
                {"a\x1b_apc\x1b\\b", "ab"},
                {"a\x1b^pm\x1b\\b", "ab"},
                {"a\x1b]8;;http://evil\x1b\\b", "ab"},
                {"a\x1b[6nb", "ab"},
                {"a\x1b[>cb", "ab"},
                {"a\x1b[21tb", "ab"},
                {"a\x05\ab", "ab"},
                {"a\x1bZb", "ab"},
                {"a\x1b[2J\x1b[1;1Hb", "ab"},
                {"a\x1b[?1049hb\x1b[?25l", "ab"},
                {"a\x1b"
                 "cb",
                 "ab"},
                {"a\x1b(0b", "ab"},
                {"a\x1b#8b", "ab"},
                {"a\x1b[Ab", "ab"},
                {"a\x1b[3 qb", "ab"},
                {"a\x0e\x0f\x7f\x0b\x0cz", "az"},
        };

        (void)state;
        CHECK(rows, false);
        CHECK(rows, true);
}

static void the_single_control_characters_are_the_sequences_they_stand_for(void **state)
{
        static const struct row rows[] = {
                {"a\xc2\x9b"
                 "6nb",
                 "ab"},
                {"a\xc2\x9d"
                 "0;t\xc2\x9c"
                 "b",
                 "ab"},
                {"a\xc2\x85"
                 "b",
                 "ab"},
                {"a\x9b"
                 "6nb",
                 "a" UNKNOWN "6nb"},
        };

        (void)state;
        CHECK(rows, false);
}

static void colours_pass_where_they_are_wanted_and_end_with_the_text(void **state)
{
        static const struct row with[] = {
                {"\x1b[1;31mred\x1b[0m", "\x1b[1;31mred\x1b[0m"},
                {"\x1b[38;5;8mgrey", "\x1b[38;5;8mgrey\x1b[0m"},
                {"\x1b[38;2;8;8;8mx\x1b[m", "\x1b[38;2;8;8;8mx\x1b[m"},
                {"\x1b[4:3mx", "\x1b[4:3mx\x1b[0m"},
                {"\x1b[8mhidden", "hidden"},
                {"\x1b[1;8mhidden", "hidden"},
                {"\x1b[38;8mhidden", "hidden"},
                {"\x1b[48;0;8mhidden", "hidden"},
                {"\x1b[?1mx", "x"},
        };
        static const struct row without[] = {{"\x1b[1;31mred\x1b[0m", "red"}};

        (void)state;
        CHECK(with, true);
        CHECK(without, false);
}

static void a_sequence_that_does_not_end_hides_no_line_behind_it(void **state)
{
        static const struct row rows[] = {
                {"\x1b]0;begin\nshown", "\nshown"},
                {"\x1bPbegin\nshown", "\nshown"},
                {"\x1b[12;3\nshown", "\nshown"},
                {"\x1b[12;3\x18shown", "shown"},
                {"\x1b", ""},
        };
        static char much[8192];

        (void)state;
        CHECK(rows, true);
        memset(much, 'x', sizeof(much) - 1);
        memcpy(much, "\x1b]0;", 4);
        assert_true(strlen(filtered(much, true, true)) > 4000);
        memcpy(much, "\x1b[?", 3);
        memset(much + 3, '1', sizeof(much) - 4);
        assert_true(strlen(filtered(much, true, true)) > 4000);
}

static void what_is_no_text_becomes_a_sign_for_it(void **state)
{
        static const struct row rows[] = {
                {"\xff\xfe", UNKNOWN UNKNOWN},
                {"\xc3(", UNKNOWN "("},
                {"\xe2\x82", UNKNOWN},
                {"\xc0\x80", UNKNOWN UNKNOWN},
                {"\xe0\x80\x9b", UNKNOWN},
                {"\xed\xa0\x80", UNKNOWN},
                {"\xf4\x90\x80\x80", UNKNOWN},
                {"a\xe2\x80\xae"
                 "b",
                 "a" UNKNOWN "b"},
                {"\xc3\x1b[6nx", UNKNOWN "x"},
        };

        (void)state;
        CHECK(rows, false);
}

static void a_terminal_without_utf_8_gets_ascii(void **state)
{
        (void)state;
        /* The second byte would be a control character there. */
        assert_string_equal(filtered("\xc3\x9b"
                                     "6n \xff",
                                     true, false),
                            "?6n ?");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(text_passes),
                cmocka_unit_test(what_makes_a_terminal_answer_or_do_something_is_dropped),
                cmocka_unit_test(the_single_control_characters_are_the_sequences_they_stand_for),
                cmocka_unit_test(colours_pass_where_they_are_wanted_and_end_with_the_text),
                cmocka_unit_test(a_sequence_that_does_not_end_hides_no_line_behind_it),
                cmocka_unit_test(what_is_no_text_becomes_a_sign_for_it),
                cmocka_unit_test(a_terminal_without_utf_8_gets_ascii),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
