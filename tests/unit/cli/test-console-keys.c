/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "cli/console-keys.h"

#include "base/cleanup.h"

static enum hf_console_command take(struct hf_console_keys *keys, const char *in, size_t *ret_skip)
{
        return hf_console_keys_take(keys, (const uint8_t *)in, strlen(in), ret_skip);
}

static void the_key_that_leaves_does_so_at_once(void **state)
{
        struct hf_console_keys keys = HF_CONSOLE_KEYS_INIT;
        size_t skip;

        (void)state;
        assert_int_equal(take(&keys, "\x1d", &skip), HF_CONSOLE_LEAVE);
        assert_int_equal(skip, 1);
        assert_int_equal(take(&keys, "\x1drest", &skip), HF_CONSOLE_LEAVE);
        assert_int_equal(skip, 5);
}

static void our_keys_inside_of_what_is_pasted_are_the_guests(void **state)
{
        struct hf_console_keys keys = HF_CONSOLE_KEYS_INIT;
        size_t skip;

        (void)state;
        assert_int_equal(take(&keys,
                              "a\x1d\x1f"
                              "b",
                              &skip),
                         HF_CONSOLE_NOTHING);
        assert_int_equal(skip, 0);
        assert_false(keys.pending);
}

static void each_command_comes_behind_its_key(void **state)
{
        static const struct {
                char key;
                enum hf_console_command command;
        } table[] = {
                {'b', HF_CONSOLE_BREAK}, {'t', HF_CONSOLE_TAKE},    {'T', HF_CONSOLE_TAKE_BY_FORCE},
                {'y', HF_CONSOLE_YIELD}, {'s', HF_CONSOLE_STATUS},  {'.', HF_CONSOLE_LEAVE},
                {'?', HF_CONSOLE_HELP},  {'x', HF_CONSOLE_UNKNOWN}, {0x1d, HF_CONSOLE_LEAVE},
        };

        (void)state;
        for (size_t i = 0; i < HF_ARRAY_LEN(table); i++) {
                struct hf_console_keys keys = HF_CONSOLE_KEYS_INIT;
                const char one[] = {table[i].key, '\0'}, both[] = {0x1f, table[i].key, 'z', '\0'};
                size_t skip;

                assert_int_equal(take(&keys, "\x1f", &skip), HF_CONSOLE_NOTHING);
                assert_int_equal(skip, 1);
                assert_true(keys.pending);
                assert_int_equal(take(&keys, one, &skip), table[i].command);
                assert_int_equal(skip, 1);
                assert_false(keys.pending);
                /* The same when a slow line brings both at once, with more behind it. */
                assert_int_equal(take(&keys, both, &skip), table[i].command);
                assert_int_equal(skip, 2);
        }
}

static void the_key_for_commands_twice_is_once_for_the_guest(void **state)
{
        struct hf_console_keys keys = HF_CONSOLE_KEYS_INIT;
        size_t skip;

        (void)state;
        assert_int_equal(take(&keys, "\x1f", &skip), HF_CONSOLE_NOTHING);
        assert_int_equal(take(&keys, "\x1f", &skip), HF_CONSOLE_NOTHING);
        assert_int_equal(skip, 0);
        assert_false(keys.pending);
        assert_int_equal(take(&keys, "\x1f\x1f", &skip), HF_CONSOLE_NOTHING);
        assert_int_equal(skip, 1);
        assert_false(keys.pending);
}

static void without_keys_all_is_the_guests(void **state)
{
        struct hf_console_keys keys = {.leave = HF_CONSOLE_NO_KEY, .command = HF_CONSOLE_NO_KEY};
        size_t skip;

        (void)state;
        assert_int_equal(take(&keys, "\x1d\x1f\xff", &skip), HF_CONSOLE_NOTHING);
        assert_int_equal(skip, 0);
        assert_int_equal(take(&keys, "\x1f", &skip), HF_CONSOLE_NOTHING);
        assert_int_equal(skip, 0);
}

static void keys_are_read_as_they_are_written(void **state)
{
        static const struct {
                const char *text;
                int key;
        } table[] = {{"^]", 0x1d}, {"^_", 0x1f}, {"^a", 1},  {"^A", 1},
                     {"^@", 0},    {"~", '~'},   {"^", '^'}, {"none", HF_CONSOLE_NO_KEY}};
        static const char *const wrong[] = {"", "ab", "^]x", "^1", "\xc3\xa4", "^\x7f"};
        char text[HF_CONSOLE_KEY_TEXT];
        int key = 77;

        (void)state;
        for (size_t i = 0; i < HF_ARRAY_LEN(table); i++) {
                assert_int_equal(hf_console_key_read(table[i].text, &key, NULL), 0);
                assert_int_equal(key, table[i].key);
        }
        key = 77;
        for (size_t i = 0; i < HF_ARRAY_LEN(wrong); i++)
                assert_true(hf_console_key_read(wrong[i], &key, NULL) < 0);
        assert_int_equal(key, 77);
        assert_string_equal(hf_console_key_text(0x1d, text), "^]");
        assert_string_equal(hf_console_key_text('~', text), "~");
        assert_string_equal(hf_console_key_text(HF_CONSOLE_NO_KEY, text), "none");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(the_key_that_leaves_does_so_at_once),
                cmocka_unit_test(our_keys_inside_of_what_is_pasted_are_the_guests),
                cmocka_unit_test(each_command_comes_behind_its_key),
                cmocka_unit_test(the_key_for_commands_twice_is_once_for_the_guest),
                cmocka_unit_test(without_keys_all_is_the_guests),
                cmocka_unit_test(keys_are_read_as_they_are_written),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
