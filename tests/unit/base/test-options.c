/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/options.h"

#include "base/cleanup.h"
#include "base/strv.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

struct given {
        struct hf_standard_options standard;
        bool daemon;
        unsigned verbose;
        int timeout;
        const char *config;
        char **disks;
        char letter;
        const char *wait;
};

static int take_letter(const struct hf_option *option, const char *argument, void *out,
                       struct hf_error *err)
{
        struct given *given = out;

        (void)option;
        if (strlen(argument) != 1)
                return hf_error_set(err, EINVAL, HF_ERR_INVALID_ARG, HF_FROM_NONE,
                                    "\"%s\" is no letter", argument);
        given->letter = argument[0];
        return 0;
}

static int take_wait(const struct hf_option *option, const char *argument, void *out,
                     struct hf_error *err)
{
        struct given *given = out;

        (void)option;
        (void)err;
        given->wait = argument ? argument : "none";
        return 0;
}

static const struct hf_option table[] = {
        {.kind = HF_OPTION_HEADING, .help = "General options"},
        HF_STANDARD_OPTIONS(struct given, standard),
        {'d', "daemon", NULL, "go into the background", HF_OPTION_FLAG,
         offsetof(struct given, daemon)},
        {'v', "verbose", NULL, "say more; twice for still more", HF_OPTION_COUNT,
         offsetof(struct given, verbose)},
        {'t', "timeout", "SECONDS",
         "end when nobody has been connected for so long, which never happens "
         "while a lock is held",
         HF_OPTION_INT, offsetof(struct given, timeout), 0, 600},
        {.kind = HF_OPTION_HEADING, .help = "Resources"},
        {'f', "config", "FILE", "read FILE", HF_OPTION_STRING, offsetof(struct given, config)},
        {0, "disk", "PATH[:ro|:shared]", "lock this disk as well", HF_OPTION_STRINGS,
         offsetof(struct given, disks)},
        {0, "a-very-long-option-name", "VALUE", "a letter", HF_OPTION_CALL, .call = take_letter},
        {'w', "wait", "SECONDS", "perhaps for so long", HF_OPTION_CALL, .call = take_wait,
         .optional = true},
        {'q', NULL, "N", "short only", HF_OPTION_INT, offsetof(struct given, timeout), 0, 9},
};

static const struct hf_options options = {
        .program = "prog",
        .usage = "[OPTION]... FILE",
        .summary = "Does what the tests need.",
        .table = table,
        .n = HF_ARRAY_LEN(table),
};

static int parse(const struct hf_options *set, const char **argv, struct given *given, int *first,
                 struct hf_error *err)
{
        return hf_options_parse(set, (int)hf_strv_len((char **)argv), (char **)argv, given, first,
                                err);
}

static void assert_refused(const char **argv, const char *message)
{
        struct given given = {0};
        struct hf_error err = {0};
        int first = -1;

        assert_int_equal(parse(&options, argv, &given, &first, &err), -EINVAL);
        assert_string_equal(err.text, message);
        assert_int_equal(first, -1);
}

static void every_kind_of_option_reaches_its_field(void **state)
{
        const char *argv[] = {"prog",        "-dvv",     "-t5", "--config=a", "--disk", "x",
                              "--disk=y:ro", "--a-very", "z",   "file",       NULL};
        struct given given = {0};
        int first;

        (void)state;
        assert_int_equal(parse(&options, argv, &given, &first, NULL), 0);
        assert_true(given.daemon);
        assert_int_equal(given.verbose, 2);
        assert_int_equal(given.timeout, 5);
        assert_string_equal(given.config, "a");
        assert_int_equal(hf_strv_len(given.disks), 2);
        assert_string_equal(given.disks[1], "y:ro");
        assert_int_equal(given.letter, 'z');
        assert_string_equal(argv[first], "file");
        hf_strv_free(given.disks);
}

static void an_optional_argument_is_what_is_joined_to_its_option(void **state)
{
        static const struct {
                const char *option, *argument;
        } cases[] = {{"--wait", "none"}, {"--wait=5", "5"}, {"-w", "none"}, {"-w5", "5"}};

        (void)state;
        for (size_t i = 0; i < HF_ARRAY_LEN(cases); i++) {
                const char *argv[] = {"prog", cases[i].option, "file", NULL};
                struct given given = {0};
                int first;

                assert_int_equal(parse(&options, argv, &given, &first, NULL), 0);
                assert_string_equal(given.wait, cases[i].argument);
                assert_string_equal(argv[first], "file");
        }
}

static void fields_of_options_not_given_keep_their_values(void **state)
{
        const char *argv[] = {"prog", NULL};
        struct given given = {.timeout = 77, .config = "default"};
        int first;

        (void)state;
        assert_int_equal(parse(&options, argv, &given, &first, NULL), 0);
        assert_int_equal(first, 1);
        assert_int_equal(given.timeout, 77);
        assert_string_equal(given.config, "default");
}

static void options_after_a_file_name_are_options_too(void **state)
{
        const char *argv[] = {"prog", "file", "-d", "--", "-v", NULL};
        struct given given = {0};
        int first;

        (void)state;
        assert_int_equal(parse(&options, argv, &given, &first, NULL), 0);
        assert_true(given.daemon);
        assert_int_equal(given.verbose, 0);
        assert_string_equal(argv[first], "file");
        assert_string_equal(argv[first + 1], "-v");
}

static void stopping_early_leaves_the_rest_alone(void **state)
{
        struct hf_options early = options;
        const char *plain[] = {"prog", "-v", "qemu", "-d", "--", NULL};
        const char *dashes[] = {"prog", "-v", "--", "-d", NULL};
        struct given given = {0};
        int first;

        (void)state;
        early.stop_early = true;
        assert_int_equal(parse(&early, plain, &given, &first, NULL), 0);
        assert_int_equal(first, 2);
        assert_false(given.daemon);
        assert_string_equal(plain[4], "--");
        assert_int_equal(parse(&early, dashes, &given, &first, NULL), 0);
        assert_int_equal(first, 3);
        assert_false(given.daemon);
        assert_int_equal(given.verbose, 2);
}

static void bad_use_is_one_line_that_says_what_to_do(void **state)
{
        (void)state;
        assert_refused((const char *[]){"prog", "--foo", NULL},
                       "unknown option \"--foo\" (\"prog --help\" lists the options)");
        assert_refused((const char *[]){"prog", "-vx", NULL},
                       "unknown option \"-x\" (\"prog --help\" lists the options)");
        assert_refused((const char *[]){"prog", "--ver", NULL},
                       "option \"--ver\" is short for more than one "
                       "(\"prog --help\" lists the options)");
        assert_refused((const char *[]){"prog", "--daemon=yes", NULL},
                       "option \"--daemon\" takes no argument "
                       "(\"prog --help\" lists the options)");
        assert_refused((const char *[]){"prog", "-t", NULL},
                       "option \"--timeout\" needs an argument, SECONDS "
                       "(\"prog --help\" lists the options)");
        assert_refused((const char *[]){"prog", "--config", NULL},
                       "option \"--config\" needs an argument, FILE "
                       "(\"prog --help\" lists the options)");
        assert_refused((const char *[]){"prog", "--a-very=ab", NULL}, "\"ab\" is no letter");
}

static void integers_outside_their_range_are_refused(void **state)
{
        static const char *const texts[] = {"601", "-1", "", "5s", "99999999999999999999", "0x1"};
        char word[64], message[256];

        (void)state;
        for (size_t i = 0; i < HF_ARRAY_LEN(texts); i++) {
                (void)snprintf(word, sizeof(word), "--timeout=%s", texts[i]);
                (void)snprintf(message, sizeof(message),
                               "option \"--timeout\" must be a whole number from 0 to 600, "
                               "not \"%s\" (\"prog --help\" lists the options)",
                               texts[i]);
                assert_refused((const char *[]){"prog", word, NULL}, message);
        }
}

static char *print(void (*write_to)(const struct hf_options *, FILE *))
{
        char *text = NULL;
        size_t len;
        FILE *file = open_memstream(&text, &len);

        assert_non_null(file);
        write_to(&options, file);
        (void)fclose(file);
        return text;
}

static void the_help_is_aligned_and_80_columns_wide(void **state)
{
        hf_cleanup_free char *text = print(hf_options_help);

        (void)state;
        assert_string_equal(
                text,
                "Usage: prog [OPTION]... FILE\n"
                "Does what the tests need.\n"
                "\n"
                "General options:\n"
                "  -h, --help                show this text and exit\n"
                "  -V, --version             show the version and exit\n"
                "  -d, --daemon              go into the background\n"
                "  -v, --verbose             say more; twice for still more\n"
                "  -t, --timeout=SECONDS     end when nobody has been connected for so long,\n"
                "                            which never happens while a lock is held\n"
                "\n"
                "Resources:\n"
                "  -f, --config=FILE         read FILE\n"
                "  --disk=PATH[:ro|:shared]  lock this disk as well\n"
                "  --a-very-long-option-name=VALUE\n"
                "                            a letter\n"
                "  -w, --wait[=SECONDS]      perhaps for so long\n"
                "  -q N                      short only\n");
}

static void the_dump_lists_visible_options_one_a_line(void **state)
{
        hf_cleanup_free char *text = print(hf_options_dump);

        (void)state;
        assert_string_equal(text, "-h, --help\n"
                                  "-V, --version\n"
                                  "-d, --daemon\n"
                                  "-v, --verbose\n"
                                  "-t, --timeout=SECONDS\n"
                                  "-f, --config=FILE\n"
                                  "--disk=PATH[:ro|:shared]\n"
                                  "--a-very-long-option-name=VALUE\n"
                                  "-w, --wait[=SECONDS]\n"
                                  "-q N\n");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(every_kind_of_option_reaches_its_field),
                cmocka_unit_test(an_optional_argument_is_what_is_joined_to_its_option),
                cmocka_unit_test(fields_of_options_not_given_keep_their_values),
                cmocka_unit_test(options_after_a_file_name_are_options_too),
                cmocka_unit_test(stopping_early_leaves_the_rest_alone),
                cmocka_unit_test(bad_use_is_one_line_that_says_what_to_do),
                cmocka_unit_test(integers_outside_their_range_are_refused),
                cmocka_unit_test(the_help_is_aligned_and_80_columns_wide),
                cmocka_unit_test(the_dump_lists_visible_options_one_a_line),
        };

        return cmocka_run_group_tests_name("options", tests, NULL, NULL);
}
