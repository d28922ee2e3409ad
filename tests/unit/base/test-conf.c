/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/conf.h"
#include "base/strv.h"

#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

static struct hf_conf *parse(const char *text)
{
        struct hf_conf *conf = NULL;
        struct hf_error err = {0};

        if (hf_conf_parse(text, strlen(text), "x.conf", &conf, &err) < 0)
                fail_msg("%s", err.text);
        return conf;
}

static void assert_refused(const char *text, const char *message)
{
        struct hf_conf *conf = NULL;
        struct hf_error err = {0};

        assert_int_equal(hf_conf_parse(text, strlen(text), "x.conf", &conf, &err), -EINVAL);
        assert_null(conf);
        assert_string_equal(err.text, message);
}

static void assert_int_at(const struct hf_conf *conf, const char *key, int64_t wanted)
{
        int64_t got = 0;

        assert_int_equal(hf_conf_get_int(conf, key, INT64_MIN, INT64_MAX, &got, NULL), 1);
        assert_true(got == wanted);
}

static void assert_string_at(const struct hf_conf *conf, const char *key, const char *wanted)
{
        const char *got = NULL;

        assert_int_equal(hf_conf_get_string(conf, key, &got, NULL), 1);
        assert_string_equal(got, wanted);
}

static void fail_on_notice(void *ctx, const char *text)
{
        (void)ctx;
        fail_msg("%s", text);
}

static void integers_have_signs_and_64_bits(void **state)
{
        hf_cleanup_conf struct hf_conf *conf = parse("a = 5\nb=-7\nc =\t+9\n"
                                                     "min = -9223372036854775808\n"
                                                     "max = 9223372036854775807");

        (void)state;
        assert_int_at(conf, "a", 5);
        assert_int_at(conf, "b", -7);
        assert_int_at(conf, "c", 9);
        assert_int_at(conf, "min", INT64_MIN);
        assert_int_at(conf, "max", INT64_MAX);
}

static void strings_are_taken_byte_for_byte(void **state)
{
        hf_cleanup_conf struct hf_conf *conf = parse("a = \"it's # no \\ comment\"\n"
                                                     "b = 'say \"x\"'\n"
                                                     "c = \"\"\n"
                                                     "d = \"\"\"one \"two\"\r\nthree\"\"\"\n"
                                                     "e = \"\xc3\xa9\"\n"
                                                     "f = \"\"\"\"\"\"\n");

        (void)state;
        assert_string_at(conf, "a", "it's # no \\ comment");
        assert_string_at(conf, "b", "say \"x\"");
        assert_string_at(conf, "c", "");
        assert_string_at(conf, "d", "one \"two\"\r\nthree");
        assert_string_at(conf, "e", "\xc3\xa9");
        assert_string_at(conf, "f", "");
}

static void a_list_may_spread_over_lines_and_end_in_a_comma(void **state)
{
        hf_cleanup_conf struct hf_conf *conf = parse("l = [ \"a\", # first\n\n  'b',\r\n]\nn = 1");
        hf_cleanup_strv char **list = NULL;

        (void)state;
        assert_int_equal(hf_conf_get_strings(conf, "l", &list, NULL), 1);
        assert_int_equal(hf_strv_len(list), 2);
        assert_string_equal(list[0], "a");
        assert_string_equal(list[1], "b");
        assert_int_at(conf, "n", 1);
}

static void an_empty_list_is_found_and_null(void **state)
{
        hf_cleanup_conf struct hf_conf *conf = parse("l = []\n");
        char **list = (char **)&conf;

        (void)state;
        assert_int_equal(hf_conf_get_strings(conf, "l", &list, NULL), 1);
        assert_null(list);
}

static void one_string_counts_as_a_list_of_one(void **state)
{
        hf_cleanup_conf struct hf_conf *conf = parse("l = 'only'\n");
        hf_cleanup_strv char **list = NULL;

        (void)state;
        assert_int_equal(hf_conf_get_strings(conf, "l", &list, NULL), 1);
        assert_int_equal(hf_strv_len(list), 1);
        assert_string_equal(list[0], "only");
}

static void a_file_without_entries_is_fine(void **state)
{
        static const char *const texts[] = {"", "\n", "\r\n", " ", "# c", "\n# c\n\n", "\t\n "};

        (void)state;
        for (size_t i = 0; i < HF_ARRAY_LEN(texts); i++) {
                hf_cleanup_conf struct hf_conf *conf = parse(texts[i]);

                assert_non_null(conf);
        }
}

static void comments_crlf_and_semicolons_end_an_entry(void **state)
{
        hf_cleanup_conf struct hf_conf *conf = parse(
                "# head\r\na = 1 # tail\r\n\r\nb = 2; c = 3\rd = 4");

        (void)state;
        assert_int_at(conf, "a", 1);
        assert_int_at(conf, "b", 2);
        assert_int_at(conf, "c", 3);
        assert_int_at(conf, "d", 4);
}

static void the_first_of_two_entries_with_one_key_wins(void **state)
{
        hf_cleanup_conf struct hf_conf *conf = parse("a = 5\na = \"x\"\n");

        (void)state;
        assert_int_at(conf, "a", 5);
}

static void a_syntax_error_names_file_and_line(void **state)
{
        (void)state;
        assert_refused("a = 1\nb\n", "x.conf:2: expected = after the key");
        assert_refused("\n\n= 1", "x.conf:3: key expected: a letter, then letters, digits and _");
        assert_refused(
                "a =\n 1",
                "x.conf:1: value expected: an integer, a string in quotes, or a list in [ ]");
        assert_refused("a = 1 b = 2", "x.conf:1: expected the end of the line after the value");
        assert_refused("a = 0x10", "x.conf:1: expected the end of the line after the value");
        assert_refused("a = -", "x.conf:1: digits expected after the sign");
        assert_refused("a = 9223372036854775808", "x.conf:1: integer does not fit in 64 bits");
        assert_refused("a = \"b\nc\"", "x.conf:1: string is not closed on its line");
        assert_refused("a = 'b", "x.conf:1: string is not closed on its line");
        assert_refused("\na = \"\"\"b\n\n\"\"", "x.conf:2: string opened by \"\"\" is not closed");
        assert_refused("a = [ 1,\n2", "x.conf:2: list is not closed by ]");
        assert_refused("a = [ 1\n2 ]", "x.conf:2: expected , or ] after a value in a list");
        assert_refused("a = [\n[ 1 ] ]", "x.conf:2: a list cannot hold a list");
        assert_refused(
                "a = [ , ]",
                "x.conf:1: value expected: an integer, a string in quotes, or a list in [ ]");
}

static void a_nul_byte_is_refused_with_its_line(void **state)
{
        static const char text[] = "a = 1\nb = \"x\0y\"\n";
        struct hf_conf *conf = NULL;
        struct hf_error err = {0};

        (void)state;
        assert_int_equal(hf_conf_parse(text, sizeof(text) - 1, "x.conf", &conf, &err), -EINVAL);
        assert_string_equal(err.text, "x.conf:2: NUL byte: this is no text file");
}

static void a_value_of_the_wrong_type_is_told_with_file_and_line(void **state)
{
        hf_cleanup_conf struct hf_conf *conf = parse("i = 1\ns = 'x'\nl = [ 1 ]\nb = 2\n");
        struct hf_error err;
        const char *string;
        char **list = NULL;
        int64_t number;
        bool yes;

        (void)state;
        assert_int_equal(hf_conf_get_int(conf, "s", 0, 9, &number, &err), -EINVAL);
        assert_string_equal(err.text, "x.conf:2: key \"s\" must be an integer, not a string");
        assert_int_equal(hf_conf_get_int(conf, "i", 2, 9, &number, &err), -EINVAL);
        assert_string_equal(err.text, "x.conf:1: key \"i\" must be an integer from 2 to 9, not 1");
        assert_int_equal(hf_conf_get_string(conf, "l", &string, &err), -EINVAL);
        assert_string_equal(err.text, "x.conf:3: key \"l\" must be a string in quotes, not a list");
        assert_int_equal(hf_conf_get_strings(conf, "l", &list, &err), -EINVAL);
        assert_string_equal(err.text,
                            "x.conf:3: key \"l\" must be a list of strings, not of integers");
        assert_int_equal(hf_conf_get_bool(conf, "b", &yes, &err), -EINVAL);
        assert_string_equal(err.text, "x.conf:4: key \"b\" must be an integer from 0 to 1, not 2");
        assert_null(list);
}

static void an_absent_key_leaves_the_output_alone(void **state)
{
        hf_cleanup_conf struct hf_conf *conf = parse("a = 1\n");
        int64_t number = 42;

        (void)state;
        assert_int_equal(hf_conf_get_int(conf, "b", 0, 9, &number, NULL), 0);
        assert_true(number == 42);
}

static void more_keys_than_the_limit_are_refused(void **state)
{
        hf_cleanup_free char *text = malloc((HF_CONF_KEYS_MAX + 1) * 4 + 1);
        struct hf_conf *conf = NULL;

        (void)state;
        for (size_t i = 0; i <= HF_CONF_KEYS_MAX; i++)
                memcpy(text + 4 * i, "a=1\n", 5);
        assert_int_equal(hf_conf_parse(text, 4 * HF_CONF_KEYS_MAX, "x", &conf, NULL), 0);
        hf_conf_free(conf);
        conf = NULL;
        assert_int_equal(hf_conf_parse(text, strlen(text), "x", &conf, NULL), -E2BIG);
        assert_null(conf);
}

struct settings {
        int level;
        unsigned clients;
        bool strict;
        char *outputs;
        char *name;
        char **hosts;
        int on_lost;
};

static const char *const on_lost_words[] = {"warn", "pause", "kill", NULL};

static const struct hf_conf_key table[] = {
        {"log_level", HF_CONF_KIND_INT, offsetof(struct settings, level), 1, 4, .def = 3},
        {"max_clients", HF_CONF_KIND_UINT, offsetof(struct settings, clients), 1, UINT_MAX,
         .def = 1024},
        {"strict", HF_CONF_KIND_BOOL, offsetof(struct settings, strict)},
        {"log_outputs", HF_CONF_KIND_STRING, offsetof(struct settings, outputs)},
        {"name", HF_CONF_KIND_STRING, offsetof(struct settings, name), .def_text = "main"},
        {"hosts", HF_CONF_KIND_STRINGS, offsetof(struct settings, hosts)},
        {"on_lost", HF_CONF_KIND_CHOICE, offsetof(struct settings, on_lost), .def = 1,
         .choices = on_lost_words},
};

static void a_table_fills_a_struct_with_values_and_defaults(void **state)
{
        hf_cleanup_conf struct hf_conf *conf = parse(
                "max_clients = 4294967295\nstrict = 1\nlog_outputs = '1:stderr'\n"
                "hosts = [ 'a', 'b' ]\non_lost = 'kill'\n");
        struct settings out;

        (void)state;
        memset(&out, 0xff, sizeof(out));
        assert_int_equal(hf_conf_apply(conf, table, HF_ARRAY_LEN(table), &out, NULL, NULL, NULL),
                         0);
        assert_int_equal(out.level, 3);
        assert_int_equal(out.clients, UINT_MAX);
        assert_true(out.strict);
        assert_string_equal(out.outputs, "1:stderr");
        assert_string_equal(out.name, "main");
        assert_int_equal(hf_strv_len(out.hosts), 2);
        assert_int_equal(out.on_lost, 2);
        hf_conf_clear(table, HF_ARRAY_LEN(table), &out);
        assert_null(out.outputs);
        assert_null(out.hosts);
}

static void a_bad_value_leaves_the_struct_as_it_was(void **state)
{
        hf_cleanup_conf struct hf_conf *conf = parse("log_level = 2\non_lost = 'panic'\n");
        struct settings out = {.level = 77};
        struct hf_error err;

        (void)state;
        assert_int_equal(hf_conf_apply(conf, table, HF_ARRAY_LEN(table), &out, NULL, NULL, &err),
                         -EINVAL);
        assert_string_equal(err.text, "x.conf:2: key \"on_lost\" must be one of \"warn\", "
                                      "\"pause\", \"kill\", not \"panic\"");
        assert_int_equal(out.level, 77);
}

static void collect(void *ctx, const char *text)
{
        (void)hf_strv_append(ctx, text);
}

static void unknown_and_repeated_keys_are_told_with_file_and_line(void **state)
{
        hf_cleanup_conf struct hf_conf *conf = parse(
                "log_level = 2\nadmin_min = 5\n\nlog_level = 3\n");
        hf_cleanup_strv char **notices = NULL;
        struct settings out;

        (void)state;
        assert_int_equal(
                hf_conf_apply(conf, table, HF_ARRAY_LEN(table), &out, collect, &notices, NULL), 0);
        assert_int_equal(out.level, 2);
        assert_int_equal(hf_strv_len(notices), 2);
        assert_string_equal(notices[0], "x.conf:2: unknown key \"admin_min\"");
        assert_string_equal(notices[1], "x.conf:4: key \"log_level\" was set already, in line 1");
        hf_conf_clear(table, HF_ARRAY_LEN(table), &out);
}

static char folder[] = "/tmp/holdfast-conf.XXXXXX";

static int make_folder(void **state)
{
        (void)state;
        return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
        (void)state;
        return rmdir(folder);
}

static void a_path_is_absolute_and_a_key_of_others_is_neither_read_nor_told_of(void **state)
{
        static const struct hf_conf_key keys[] = {{"dir", HF_CONF_KIND_PATH, 0},
                                                  {"theirs", HF_CONF_KIND_OTHERS}};
        hf_cleanup_conf struct hf_conf *good = parse("theirs = [1]\ndir = \"/x\"\n");
        hf_cleanup_conf struct hf_conf *bad = parse("\ndir = \"x\"\n");
        struct hf_error err = {0};
        char *dir = NULL, *told = NULL;

        (void)state;
        assert_int_equal(hf_conf_apply(good, keys, 2, &dir, fail_on_notice, &told, &err), 0);
        assert_string_equal(dir, "/x");
        hf_conf_clear(keys, 2, &dir);
        assert_null(dir);
        assert_int_equal(hf_conf_apply(bad, keys, 2, &dir, NULL, NULL, &err), -EINVAL);
        assert_string_equal(err.text, "x.conf:2: key \"dir\" must be an absolute path, not \"x\"");
}

static void a_repeat_can_be_an_error_and_a_value_be_blamed(void **state)
{
        hf_cleanup_conf struct hf_conf *twice = parse("a = 1\n\na = 2\n");
        hf_cleanup_conf struct hf_conf *once = parse("\na = 1\nb = 1\n");
        struct hf_error err = {.text = "is odd"};

        (void)state;
        hf_conf_blame(once, "a", &err);
        assert_string_equal(err.text, "x.conf:2: key \"a\": is odd");
        hf_conf_blame(once, "none", &err);
        assert_string_equal(err.text, "x.conf:2: key \"a\": is odd");
        assert_int_equal(hf_conf_refuse_repeats(once, &err), 0);
        assert_int_equal(hf_conf_refuse_repeats(twice, &err), -EINVAL);
        assert_string_equal(err.text, "x.conf:3: key \"a\" was set already, in line 1");
}

static void a_file_that_may_be_missing_counts_as_empty(void **state)
{
        hf_cleanup_conf struct hf_conf *conf = NULL;
        struct hf_conf *none = NULL;
        struct hf_error err;
        char path[64];

        (void)state;
        (void)snprintf(path, sizeof(path), "%s/none.conf", folder);
        assert_int_equal(hf_conf_load(path, false, &conf, &err), 0);
        assert_non_null(conf);
        assert_int_equal(hf_conf_load(path, true, &none, &err), -ENOENT);
        assert_null(none);
        assert_non_null(strstr(err.text, path));
}

static void a_file_is_read_and_named_in_its_errors(void **state)
{
        hf_cleanup_conf struct hf_conf *conf = NULL;
        hf_cleanup_file FILE *file = NULL;
        struct hf_error err;
        char path[64];
        int r;

        (void)state;
        (void)snprintf(path, sizeof(path), "%s/a.conf", folder);
        file = fopen(path, "w");
        (void)fputs("a = 1\n?", file);
        (void)fflush(file);
        r = hf_conf_load(path, true, &conf, &err);
        (void)unlink(path);
        assert_int_equal(r, -EINVAL);
        assert_ptr_equal(strstr(err.text, path), err.text);
}

static void a_fifo_or_directory_is_refused_without_waiting(void **state)
{
        struct hf_conf *conf = NULL;
        char path[64];
        int r;

        (void)state;
        assert_int_equal(hf_conf_load(folder, true, &conf, NULL), -EINVAL);
        (void)snprintf(path, sizeof(path), "%s/fifo", folder);
        assert_int_equal(mkfifo(path, 0600), 0);
        r = hf_conf_load(path, true, &conf, NULL);
        (void)unlink(path);
        assert_int_equal(r, -EINVAL);
}

static void a_file_longer_than_the_limit_is_refused(void **state)
{
        struct hf_conf *conf = NULL;
        char path[64];
        int r;

        (void)state;
        (void)snprintf(path, sizeof(path), "%s/long.conf", folder);
        {
                hf_cleanup_file FILE *file = fopen(path, "w");

                assert_non_null(file);
                assert_int_equal(ftruncate(fileno(file), HF_CONF_SIZE_MAX + 1), 0);
        }
        r = hf_conf_load(path, true, &conf, NULL);
        (void)unlink(path);
        assert_int_equal(r, -E2BIG);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(integers_have_signs_and_64_bits),
                cmocka_unit_test(strings_are_taken_byte_for_byte),
                cmocka_unit_test(a_list_may_spread_over_lines_and_end_in_a_comma),
                cmocka_unit_test(an_empty_list_is_found_and_null),
                cmocka_unit_test(one_string_counts_as_a_list_of_one),
                cmocka_unit_test(a_file_without_entries_is_fine),
                cmocka_unit_test(comments_crlf_and_semicolons_end_an_entry),
                cmocka_unit_test(the_first_of_two_entries_with_one_key_wins),
                cmocka_unit_test(a_syntax_error_names_file_and_line),
                cmocka_unit_test(a_nul_byte_is_refused_with_its_line),
                cmocka_unit_test(a_value_of_the_wrong_type_is_told_with_file_and_line),
                cmocka_unit_test(an_absent_key_leaves_the_output_alone),
                cmocka_unit_test(more_keys_than_the_limit_are_refused),
                cmocka_unit_test(a_table_fills_a_struct_with_values_and_defaults),
                cmocka_unit_test(a_bad_value_leaves_the_struct_as_it_was),
                cmocka_unit_test(unknown_and_repeated_keys_are_told_with_file_and_line),
                cmocka_unit_test(
                        a_path_is_absolute_and_a_key_of_others_is_neither_read_nor_told_of),
                cmocka_unit_test(a_repeat_can_be_an_error_and_a_value_be_blamed),
                cmocka_unit_test(a_file_that_may_be_missing_counts_as_empty),
                cmocka_unit_test(a_file_is_read_and_named_in_its_errors),
                cmocka_unit_test(a_fifo_or_directory_is_refused_without_waiting),
                cmocka_unit_test(a_file_longer_than_the_limit_is_refused),
        };

        return cmocka_run_group_tests_name("conf", tests, make_folder, remove_folder);
}
