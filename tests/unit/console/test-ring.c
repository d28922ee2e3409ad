/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "console/ring.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cmocka.h>

#define SIZE 64

static struct hf_ring ring;
static uint8_t bytes[SIZE];

static int setup(void **state)
{
        (void)state;
        memset(&ring, 0, sizeof(ring));
        memset(bytes, 0, sizeof(bytes));
        hf_ring_init(&ring, SIZE);
        return 0;
}

static void copy_in(const char *text, size_t len)
{
        struct iovec room[2];
        int n = hf_ring_room(&ring, bytes, len, room);

        for (int i = 0; i < n; text += room[i].iov_len, i++)
                memcpy(room[i].iov_base, text, room[i].iov_len);
}

static void print(const char *text, uint64_t usec)
{
        hf_ring_expect(&ring, strlen(text));
        copy_in(text, strlen(text));
        hf_ring_arrived(&ring, usec);
}

static const char *from(uint64_t position)
{
        static char text[SIZE + 1];
        struct iovec have[2];
        int n = hf_ring_peek(&ring, bytes, position, SIZE, have);
        size_t len = 0;

        for (int i = 0; i < n; len += have[i].iov_len, i++)
                memcpy(text + len, have[i].iov_base, have[i].iov_len);
        text[len] = '\0';
        return text;
}

static void what_was_printed_is_there_in_order(void **state)
{
        (void)state;
        print("one ", 1);
        print("two ", 1);
        assert_string_equal(from(0), "one two ");
        assert_string_equal(from(4), "two ");
        assert_int_equal(hf_ring_head(&ring), 8);
        assert_string_equal(from(8), "");
        assert_string_equal(from(9), "");
}

static void the_oldest_go_first_and_a_position_that_is_gone_gives_nothing(void **state)
{
        char text[2] = "";

        (void)state;
        for (int i = 0; i < SIZE + 10; i++) {
                text[0] = (char)('0' + i % 75);
                print(text, 1);
        }
        assert_int_equal(hf_ring_first(&ring), 10);
        assert_string_equal(from(9), "");
        assert_int_equal(strlen(from(10)), SIZE);
        assert_int_equal(*from(10), '0' + 10);
        assert_int_equal(*from(SIZE + 9), '0' + SIZE + 9);
}

static void pieces_hold_no_more_than_was_asked_for(void **state)
{
        struct iovec have[2];

        (void)state;
        for (int i = 0; i < 6; i++)
                print("0123456789", 1);
        assert_int_equal(hf_ring_room(&ring, bytes, 10, have), 2);
        assert_int_equal(have[0].iov_len, 4);
        assert_int_equal(have[1].iov_len, 6);
        assert_int_equal(hf_ring_room(&ring, bytes, 4, have), 1);
        assert_int_equal(hf_ring_room(&ring, bytes, 1000, have), 2);
        assert_int_equal(have[0].iov_len + have[1].iov_len, SIZE);
        assert_int_equal(hf_ring_room(&ring, bytes, 0, have), 0);
        print("abcdefghij", 1);
        assert_int_equal(hf_ring_peek(&ring, bytes, 60, 5, have), 2);
        assert_int_equal(have[1].iov_len, 1);
        assert_int_equal(hf_ring_peek(&ring, bytes, 60, 3, have), 1);
        assert_int_equal(have[0].iov_len, 3);
}

static void what_is_being_overwritten_is_kept_no_more(void **state)
{
        (void)state;
        for (int i = 0; i < 6; i++)
                print("0123456789", 1);
        hf_ring_expect(&ring, 10);
        assert_int_equal(hf_ring_first(&ring), 6);
        assert_string_equal(from(5), "");
        assert_int_equal(strlen(from(6)), 54);
}

/* The steps of a turn, each of which may be the last that a server did. */
enum { SPLICED = 1, EXPECTED, READ, MARKED, ARRIVED, STEPS };

/* Prints text, and is killed after that step. Returns how much the pipe still has. */
static size_t killed_after(int step, const char *text, uint64_t usec)
{
        size_t len = strlen(text);

        if (step >= EXPECTED)
                hf_ring_expect(&ring, len);
        if (step >= READ)
                copy_in(text, len);
        if (step == MARKED) {
                struct hf_ring before = ring;

                hf_ring_arrived(&ring, usec);
                atomic_store(&ring.head, atomic_load(&before.head));
        }
        if (step >= ARRIVED)
                hf_ring_arrived(&ring, usec);
        return step >= READ ? 0 : len;
}

static void a_server_killed_at_any_step_loses_nothing_and_doubles_nothing(void **state)
{
        (void)state;
        for (int step = SPLICED; step < STEPS; step++) {
                size_t left;

                setup(NULL);
                print("before ", 1000000);
                left = killed_after(step, "under way ", 2000000);
                assert_true(hf_ring_check(&ring, SIZE));
                assert_int_equal(hf_ring_recover(&ring, left, 3000000),
                                 step == READ || step == MARKED ? 10 : 0);
                if (left)
                        print("under way ", 3000000);
                print("after", 4000000);
                assert_string_equal(from(0), "before under way after");
        }
}

static void a_successor_killed_at_any_step_changes_nothing_of_that(void **state)
{
        uint64_t before;

        (void)state;
        for (int halfway = 0; halfway < 2; halfway++) {
                setup(NULL);
                print("before ", 1);
                hf_ring_expect(&ring, 10);
                copy_in("und", 3);
                before = atomic_load(&ring.expected);
                assert_int_equal(hf_ring_recover(&ring, 7, 5), 3);
                /* Between its two stores, or behind both. */
                if (halfway)
                        atomic_store(&ring.expected, before);
                assert_true(hf_ring_check(&ring, SIZE));
                assert_int_equal(hf_ring_recover(&ring, 7, 6), 0);
                print("er way ", 7);
                assert_string_equal(from(0), "before under way ");
        }
}

/* With a pipe as the server has it, and the number that the kernel says. */
static void what_a_pipe_has_left_tells_what_was_read(void **state)
{
        struct iovec room[2];
        int pipe_fds[2], left, n;

        (void)state;
        for (int read_it = 0; read_it < 2; read_it++) {
                setup(NULL);
                print("0123456789012345678901234567890123456789012345678901234567", 1);
                assert_int_equal(pipe2(pipe_fds, O_NONBLOCK | O_CLOEXEC), 0);
                assert_int_equal(write(pipe_fds[1], "abcdefghij", 10), 10);
                n = hf_ring_room(&ring, bytes, 10, room);
                assert_int_equal(n, 2);
                hf_ring_expect(&ring, 10);
                if (read_it)
                        assert_int_equal(readv(pipe_fds[0], room, n), 10);
                assert_int_equal(ioctl(pipe_fds[0], FIONREAD, &left), 0);
                assert_int_equal(hf_ring_recover(&ring, (size_t)left, 2), read_it ? 10 : 0);
                assert_string_equal(from(58), read_it ? "abcdefghij" : "");
                close(pipe_fds[0]);
                close(pipe_fds[1]);
        }
}

static void nonsense_is_found_and_begins_anew(void **state)
{
        static const struct {
                uint64_t size, head, expected;
        } bad[] = {
                {SIZE + 1, 0, 0},          {SIZE, 5, 4}, {SIZE, 0, SIZE + 1},
                {SIZE, UINT64_MAX - 1, 3}, {0, 0, 0},
        };

        (void)state;
        for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
                ring.size = bad[i].size;
                atomic_store(&ring.head, bad[i].head);
                atomic_store(&ring.expected, bad[i].expected);
                assert_false(hf_ring_check(&ring, SIZE));
                assert_int_equal(hf_ring_head(&ring), 0);
                print("new", 1);
                assert_string_equal(from(0), "new");
        }
}

static void marks_that_make_no_sense_are_forgotten_and_the_bytes_stay(void **state)
{
        struct hf_ring_mark marks[4];

        (void)state;
        print("one ", 1000000);
        print("two ", 2000000);
        ring.marks[1].position = 1000;
        assert_true(hf_ring_check(&ring, SIZE));
        assert_int_equal(hf_ring_marks(&ring, 0, marks, 4), 0);
        assert_string_equal(from(0), "one two ");
        atomic_store(&ring.n_marks, UINT64_MAX);
        assert_true(hf_ring_check(&ring, SIZE));
        print("three", 3000000);
        assert_int_equal(hf_ring_marks(&ring, 0, marks, 4), 1);
        assert_int_equal(marks[0].position, 8);
}

static void lines_are_counted_from_the_end(void **state)
{
        (void)state;
        assert_int_equal(hf_ring_lines(&ring, bytes, 3), 0);
        print("one\ntwo\nthree", 1);
        assert_string_equal(from(hf_ring_lines(&ring, bytes, 0)), "");
        assert_string_equal(from(hf_ring_lines(&ring, bytes, 1)), "three");
        assert_string_equal(from(hf_ring_lines(&ring, bytes, 2)), "two\nthree");
        assert_string_equal(from(hf_ring_lines(&ring, bytes, 9)), "one\ntwo\nthree");
        print("\n", 1);
        assert_string_equal(from(hf_ring_lines(&ring, bytes, 1)), "three\n");
        print("\n\n", 1);
        assert_string_equal(from(hf_ring_lines(&ring, bytes, 3)), "three\n\n\n");
        assert_string_equal(from(hf_ring_lines(&ring, bytes, UINT64_MAX)), "one\ntwo\nthree\n\n\n");
}

static void lines_are_found_around_the_rings_end(void **state)
{
        (void)state;
        for (int i = 0; i < 20; i++)
                print("line 7\n", 1);
        for (uint64_t n = 0; n < 9; n++)
                assert_int_equal(hf_ring_lines(&ring, bytes, n), 140 - 7 * n);
        assert_int_equal(hf_ring_lines(&ring, bytes, 10), 140 - SIZE);
}

static void when_bytes_came_is_known_to_ten_milliseconds(void **state)
{
        struct hf_ring_mark marks[8];

        (void)state;
        print("a", 1000000);
        print("b", 1009999);
        print("c", 1010000);
        print("d", 500); /* the clock was set back */
        assert_int_equal(hf_ring_marks(&ring, 0, marks, 8), 3);
        assert_int_equal(marks[0].position, 0);
        assert_int_equal(marks[1].position, 2);
        assert_int_equal(marks[1].usec, 1010000);
        assert_int_equal(marks[2].position, 3);
        assert_int_equal(hf_ring_marks(&ring, 1, marks, 8), 3);
        assert_int_equal(hf_ring_marks(&ring, 2, marks, 8), 2);
        assert_int_equal(hf_ring_marks(&ring, 2, marks, 1), 1);
        assert_int_equal(marks[0].position, 2);
        assert_int_equal(hf_ring_marks(&ring, 4, marks, 8), 1);
}

static void the_oldest_marks_go_and_the_rest_is_in_order(void **state)
{
        static struct hf_ring_mark marks[HF_RING_MARKS];
        size_t n;

        (void)state;
        for (uint64_t i = 0; i < HF_RING_MARKS + 100; i++)
                print("x", i * HF_RING_MARK_USEC);
        n = hf_ring_marks(&ring, 0, marks, HF_RING_MARKS);
        assert_int_equal(n, HF_RING_MARKS - 1);
        for (size_t i = 0; i < n; i++) {
                assert_int_equal(marks[i].position, i + 101);
                assert_int_equal(marks[i].usec, (i + 101) * HF_RING_MARK_USEC);
        }
        assert_int_equal(hf_ring_marks(&ring, hf_ring_first(&ring), marks, HF_RING_MARKS), SIZE);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup(what_was_printed_is_there_in_order, setup),
                cmocka_unit_test_setup(
                        the_oldest_go_first_and_a_position_that_is_gone_gives_nothing, setup),
                cmocka_unit_test_setup(pieces_hold_no_more_than_was_asked_for, setup),
                cmocka_unit_test_setup(what_is_being_overwritten_is_kept_no_more, setup),
                cmocka_unit_test_setup(
                        a_server_killed_at_any_step_loses_nothing_and_doubles_nothing, setup),
                cmocka_unit_test_setup(a_successor_killed_at_any_step_changes_nothing_of_that,
                                       setup),
                cmocka_unit_test_setup(what_a_pipe_has_left_tells_what_was_read, setup),
                cmocka_unit_test_setup(nonsense_is_found_and_begins_anew, setup),
                cmocka_unit_test_setup(marks_that_make_no_sense_are_forgotten_and_the_bytes_stay,
                                       setup),
                cmocka_unit_test_setup(lines_are_counted_from_the_end, setup),
                cmocka_unit_test_setup(lines_are_found_around_the_rings_end, setup),
                cmocka_unit_test_setup(when_bytes_came_is_known_to_ten_milliseconds, setup),
                cmocka_unit_test_setup(the_oldest_marks_go_and_the_rest_is_in_order, setup),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
