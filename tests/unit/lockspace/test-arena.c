/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lockspace/arena.h"

#include "base/cleanup.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define SIZE    4096
#define LONGEST 4096

/* An arena of SIZE bytes for each test. */
static struct hf_arena arena;
static _Alignas(8) char data[SIZE];

static int begin(void **state)
{
        (void)state;
        memset(data, 0xee, sizeof(data));
        hf_arena_init(&arena, sizeof(data));
        return 0;
}

static uint32_t add(const char *text)
{
        return hf_arena_add(&arena, data, text, (uint32_t)strlen(text));
}

/* Adds strings of len bytes until there is no room. Returns how many there were. */
static unsigned int fill(uint32_t len)
{
        char text[LONGEST];
        unsigned int n = 0;

        memset(text, 'x', sizeof(text));
        while (hf_arena_add(&arena, data, text, len))
                n++;
        return n;
}

static void strings_come_out_as_they_went_in(void **state)
{
        uint32_t one = add("one"), empty = add(""), cut;

        (void)state;
        assert_int_not_equal(one, 0);
        assert_int_not_equal(empty, 0);
        cut = hf_arena_add(&arena, data, "three and more", 5);
        assert_string_equal(data + one, "one");
        assert_string_equal(data + empty, "");
        assert_string_equal(data + cut, "three");
}

static void no_string_touches_another_one(void **state)
{
        uint32_t at[4];
        char text[64];

        (void)state;
        /* All lengths around the edges of a block. */
        for (uint32_t len = 0; len < 60; len++) {
                memset(text, 'a' + (int)(len % 26), sizeof(text));
                hf_arena_init(&arena, sizeof(data));
                for (size_t i = 0; i < HF_ARRAY_LEN(at); i++) {
                        text[0] = (char)('0' + i);
                        at[i] = hf_arena_add(&arena, data, text, len);
                }
                for (size_t i = 0; i < HF_ARRAY_LEN(at); i++) {
                        assert_int_equal(strlen(data + at[i]), len);
                        assert_true(!len || data[at[i]] == (char)('0' + i));
                }
        }
}

static void a_full_arena_says_so_and_stays_as_it_is(void **state)
{
        uint32_t first = add("first");
        unsigned int n = fill(11);

        (void)state;
        /* One grain is never given out, one has "first", the others 11 bytes each. */
        assert_int_equal(n, SIZE / HF_ARENA_GRAIN - 2);
        assert_int_equal(add("more"), 0);
        assert_true(arena.used <= arena.size);
        assert_string_equal(data + first, "first");
}

static void a_string_that_went_leaves_its_room(void **state)
{
        uint32_t string = add("gone");

        (void)state;
        (void)fill(11);
        hf_arena_remove(&arena, data, string);
        assert_int_equal(add("here"), string);
        assert_int_equal(add("more"), 0);
}

static void what_all_gave_back_is_there_again(void **state)
{
        uint32_t strings[SIZE / HF_ARENA_GRAIN];
        char text[40];
        size_t first = 0;

        (void)state;
        for (int round = 0; round < 10; round++) {
                size_t n = 0;

                memset(text, 'a' + round, sizeof(text));
                while ((strings[n] = hf_arena_add(&arena, data, text, sizeof(text) - 1)))
                        n++;
                first = first ? first : n;
                assert_true(n > 0 && n == first);
                while (n > 0)
                        hf_arena_remove(&arena, data, strings[--n]);
        }
}

static void a_larger_block_serves_only_a_little_less_and_stays_whole(void **state)
{
        char text[200];
        uint32_t large;

        (void)state;
        memset(text, 'x', sizeof(text));
        large = hf_arena_add(&arena, data, text, sizeof(text));
        hf_arena_remove(&arena, data, large);
        assert_int_not_equal(add("short"), large);
        /* A little less fits in; given back, the block is as large as it was. */
        assert_int_equal(hf_arena_add(&arena, data, text, sizeof(text) - HF_ARENA_GRAIN), large);
        hf_arena_remove(&arena, data, large);
        assert_int_equal(hf_arena_add(&arena, data, text, sizeof(text)), large);
}

static void the_longest_string_fits_and_a_longer_one_is_refused(void **state)
{
        static _Alignas(8) char room[4 * LONGEST];
        static char text[2 * LONGEST];
        uint32_t string, most = (HF_ARENA_CLASSES - 1) * HF_ARENA_GRAIN - sizeof(uint32_t) - 1;

        (void)state;
        memset(text, 'x', sizeof(text));
        hf_arena_init(&arena, sizeof(room));
        string = hf_arena_add(&arena, room, text, LONGEST);
        assert_int_not_equal(string, 0);
        assert_int_equal(strlen(room + string), LONGEST);
        assert_int_not_equal(hf_arena_add(&arena, room, text, most), 0);
        assert_int_equal(hf_arena_add(&arena, room, text, most + 1), 0);
        assert_int_equal(hf_arena_add(&arena, room, text, sizeof(text)), 0);
}

static void giving_back_nothing_is_harmless(void **state)
{
        struct hf_arena before = arena;

        (void)state;
        hf_arena_remove(&arena, data, 0);
        assert_memory_equal(&before, &arena, sizeof(arena));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup(strings_come_out_as_they_went_in, begin),
                cmocka_unit_test_setup(no_string_touches_another_one, begin),
                cmocka_unit_test_setup(a_full_arena_says_so_and_stays_as_it_is, begin),
                cmocka_unit_test_setup(a_string_that_went_leaves_its_room, begin),
                cmocka_unit_test_setup(what_all_gave_back_is_there_again, begin),
                cmocka_unit_test_setup(a_larger_block_serves_only_a_little_less_and_stays_whole,
                                       begin),
                cmocka_unit_test_setup(the_longest_string_fits_and_a_longer_one_is_refused, begin),
                cmocka_unit_test_setup(giving_back_nothing_is_harmless, begin),
        };

        return cmocka_run_group_tests_name("arena", tests, NULL, NULL);
}
