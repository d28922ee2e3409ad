/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "transcript-scene.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static void what_is_printed_is_in_the_file_with_its_times(void **state)
{
        (void)state;
        start_writer();
        print("hello\n");
        run_until_offered();
        scene.now += SECONDS;
        print("world\n");
        finish_writer();
        assert_string_equal(content(LOG), "hello\nworld\n");
        assert_string_equal(content(LOG ".times"), "origin 0 0 77\n0 1000000000\n6 1001000000\n");
}

static void a_log_is_its_owners_alone(void **state)
{
        char path[256];
        struct stat st;

        (void)state;
        start_writer();
        print("secret");
        finish_writer();
        snprintf(path, sizeof(path), "%s/web1", scene.dir);
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_mode & 07777, 0700);
        snprintf(path, sizeof(path), "%s/" LOG, scene.dir);
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_mode & 07777, 0600);
}

static void another_writer_goes_on_where_the_last_was(void **state)
{
        (void)state;
        start_writer();
        print("one ");
        run_until_offered();
        kill_writer();
        print("two ");
        start_writer();
        finish_writer();
        assert_string_equal(content(LOG), "one two ");
}

static void a_server_that_offers_again_doubles_nothing(void **state)
{
        (void)state;
        start_writer();
        print("one two ");
        run_until_offered();
        scene.link.position = 2;
        print("three ");
        run_until_offered();
        hf_transcript_begin(&scene.link);
        print("four");
        finish_writer();
        assert_string_equal(content(LOG), "one two three four");
}

static void a_server_that_left_something_out_is_told(void **state)
{
        (void)state;
        start_writer();
        print("one two ");
        while (!scene.link.opened)
                turn();
        scene.link.position = 4;
        for (int i = 0; i < 2000 && scene.link.position != 0; i++) {
                struct hf_transcript_answer answer;

                if (hf_transcript_receive(scene.fd, &answer) > 0)
                        hf_transcript_heard(&scene.link, &answer);
                else
                        (void)hf_transcript_offer(&scene.link, scene.fd, NAME, &scene.ring,
                                                  scene.bytes, scene.now);
                (void)poll(NULL, 0, 1);
        }
        finish_writer();
        assert_string_equal(content(LOG), "one two ");
}

static void a_new_ring_is_written_behind_the_old_one(void **state)
{
        (void)state;
        start_writer();
        print("first life\n");
        finish_writer();
        new_ring(78);
        start_writer();
        print("second\n");
        finish_writer();
        assert_string_equal(content(LOG), "first life\nsecond\n");
        assert_non_null(strstr(content(LOG ".times"), "origin 11 0 78\n"));
}

static void what_fell_out_of_the_ring_is_noted_in_brackets(void **state)
{
        static const char whole[] =
                "abc\n[holdfast: 5 bytes are missing, until 1970-01-01T00:16:40Z]\n";
        static char much[RING_SIZE + 1];

        (void)state;
        memset(much, 'x', RING_SIZE);
        start_writer();
        print("abc");
        finish_writer();
        print("lost!");
        print(much);
        start_writer();
        finish_writer();
        assert_memory_equal(content(LOG), whole, strlen(whole));
        assert_string_equal(content(LOG) + strlen(whole), much);
}

static void files_are_rotated_at_the_limit_with_their_times(void **state)
{
        char line[32];
        size_t lines = 0;

        (void)state;
        scene.settings.max_size = 100;
        start_writer();
        for (int i = 0; i < 45; i++) {
                scene.now += SECONDS;
                snprintf(line, sizeof(line), "line %04d\n", i);
                print(line);
                run_until_offered();
        }
        finish_writer();
        assert_string_equal(content(LOG),
                            "line 0040\nline 0041\nline 0042\nline 0043\nline 0044\n");
        assert_memory_equal(content(LOG ".1"), "line 0030\n", 10);
        assert_memory_equal(content(LOG ".3"), "line 0010\n", 10);
        assert_null(content(LOG ".4"));
        assert_null(content(LOG ".times.new"));
        assert_memory_equal(content(LOG ".2.times"), "origin 0 200 77\n0 ", 18);
        for (const char *at = content(LOG ".1"); (at = strchr(at, '\n')); at++)
                lines++;
        assert_int_equal(lines, 10);
}

static void a_line_longer_than_a_file_goes_on_in_the_next(void **state)
{
        char much[251];

        (void)state;
        memset(much, 'y', 250);
        much[250] = '\0';
        scene.settings.max_size = 100;
        start_writer();
        print(much);
        finish_writer();
        assert_int_equal(strlen(content(LOG ".2")), 100);
        assert_int_equal(strlen(content(LOG ".1")), 100);
        assert_int_equal(strlen(content(LOG)), 50);
}

static void without_backups_the_log_begins_anew(void **state)
{
        (void)state;
        scene.settings.max_size = 10;
        scene.settings.max_backups = 0;
        start_writer();
        print("123456789\nabc\n");
        finish_writer();
        assert_string_equal(content(LOG), "abc\n");
        assert_null(content(LOG ".1"));
}

static void torn_and_foreign_lines_of_times_do_no_harm(void **state)
{
        (void)state;
        start_writer();
        print("one ");
        finish_writer();
        put(LOG ".times", "what is this\norigin 99999 5 77 \n-3 5\n4 1000");
        start_writer();
        print("two ");
        finish_writer();
        assert_string_equal(content(LOG), "one two ");
}

static void a_log_that_was_cut_is_filled_from_the_ring(void **state)
{
        char path[256];

        (void)state;
        start_writer();
        print("one two ");
        finish_writer();
        snprintf(path, sizeof(path), "%s/" LOG, scene.dir);
        assert_int_equal(truncate(path, 0), 0);
        start_writer();
        print("three ");
        finish_writer();
        assert_string_equal(content(LOG), "one two three ");
}

static void limit_size(void)
{
        struct rlimit limit = {.rlim_cur = 50, .rlim_max = RLIM_INFINITY};

        (void)setrlimit(RLIMIT_FSIZE, &limit);
}

static void a_file_that_takes_no_more_is_said_and_nothing_is_lost_of_what_the_ring_has(void **state)
{
        struct rlimit none = {.rlim_cur = RLIM_INFINITY, .rlim_max = RLIM_INFINITY};

        (void)state;
        start_writer_with(limit_size);
        print("0123456789012345678901234567890123456789");
        run_until_offered();
        print("abcdefghijklmnopqrstuvwxyz");
        for (int i = 0; i < 3000 && !hf_transcript_fails(&scene.link, scene.now); i++) {
                turn();
                (void)poll(NULL, 0, 1);
        }
        assert_int_equal(hf_transcript_fails(&scene.link, scene.now), -EFBIG);
        print("and more");
        turn();
        assert_int_equal(prlimit(scene.writer, RLIMIT_FSIZE, &none, NULL), 0);
        finish_writer();
        assert_string_equal(
                content(LOG),
                "0123456789012345678901234567890123456789abcdefghijklmnopqrstuvwxyzand more");
}

static void a_writer_that_takes_nothing_is_said_to_fail_and_nobody_waits(void **state)
{
        static char much[RING_SIZE + 1];
        int r = 0;

        (void)state;
        memset(much, 'z', RING_SIZE);
        start_writer();
        print("begin");
        run_until_offered();
        assert_int_equal(kill(scene.writer, SIGSTOP), 0);
        for (int i = 0; i < 1000 && r != -EAGAIN; i++) {
                print(much);
                r = turn();
        }
        assert_int_equal(r, -EAGAIN);
        assert_int_equal(hf_transcript_fails(&scene.link, scene.now), 0);
        scene.now += 6 * SECONDS;
        assert_int_equal(turn(), -EAGAIN);
        assert_int_equal(hf_transcript_fails(&scene.link, scene.now), -ETIMEDOUT);
        assert_int_equal(hf_transcript_finish(&scene.link, scene.fd, NAME, &scene.ring, scene.bytes,
                                              scene.now),
                         1);
        assert_int_equal(kill(scene.writer, SIGCONT), 0);
        run_until_offered();
        assert_int_equal(hf_transcript_fails(&scene.link, scene.now), 0);
}

static void a_console_that_ends_has_all_of_it_written(void **state)
{
        int r = 0;

        (void)state;
        start_writer();
        print("the last words");
        for (int i = 0; i < 3000 && r != 1; i++) {
                struct hf_transcript_answer answer;

                r = hf_transcript_finish(&scene.link, scene.fd, NAME, &scene.ring, scene.bytes,
                                         scene.now);
                if (hf_transcript_receive(scene.fd, &answer) > 0)
                        hf_transcript_heard(&scene.link, &answer);
                (void)poll(NULL, 0, 1);
        }
        assert_int_equal(r, 1);
        finish_writer();
        assert_string_equal(content(LOG), "the last words");
}

static void names_are_single_components(void **state)
{
        char name[HF_TRANSCRIPT_NAME_MAX], other[HF_TRANSCRIPT_NAME_MAX], any[600];

        (void)state;
        hf_transcript_name("web1", "serial0", name);
        assert_string_equal(name, NAME);
        hf_transcript_name("", "/dev/pts/3", name);
        assert_string_equal(name, "by-path/%2Fdev%2Fpts%2F3");
        hf_transcript_name("..", "../x y", name);
        assert_string_equal(name, "%2E./%2E.%2Fx%20y");
        hf_transcript_name("a", "", name);
        assert_string_equal(name, "a/console");
        memset(any, 'n', sizeof(any));
        any[sizeof(any) - 1] = '\0';
        hf_transcript_name(any, any, name);
        any[300] = 'm';
        hf_transcript_name(any, any, other);
        assert_string_not_equal(name, other);
        assert_int_equal(strlen(strrchr(name, '/')), 201);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(what_is_printed_is_in_the_file_with_its_times,
                                                setup, teardown),
                cmocka_unit_test_setup_teardown(a_log_is_its_owners_alone, setup, teardown),
                cmocka_unit_test_setup_teardown(another_writer_goes_on_where_the_last_was, setup,
                                                teardown),
                cmocka_unit_test_setup_teardown(a_server_that_offers_again_doubles_nothing, setup,
                                                teardown),
                cmocka_unit_test_setup_teardown(a_server_that_left_something_out_is_told, setup,
                                                teardown),
                cmocka_unit_test_setup_teardown(a_new_ring_is_written_behind_the_old_one, setup,
                                                teardown),
                cmocka_unit_test_setup_teardown(what_fell_out_of_the_ring_is_noted_in_brackets,
                                                setup, teardown),
                cmocka_unit_test_setup_teardown(files_are_rotated_at_the_limit_with_their_times,
                                                setup, teardown),
                cmocka_unit_test_setup_teardown(a_line_longer_than_a_file_goes_on_in_the_next,
                                                setup, teardown),
                cmocka_unit_test_setup_teardown(without_backups_the_log_begins_anew, setup,
                                                teardown),
                cmocka_unit_test_setup_teardown(torn_and_foreign_lines_of_times_do_no_harm, setup,
                                                teardown),
                cmocka_unit_test_setup_teardown(a_log_that_was_cut_is_filled_from_the_ring, setup,
                                                teardown),
                cmocka_unit_test_setup_teardown(
                        a_file_that_takes_no_more_is_said_and_nothing_is_lost_of_what_the_ring_has,
                        setup, teardown),
                cmocka_unit_test_setup_teardown(
                        a_writer_that_takes_nothing_is_said_to_fail_and_nobody_waits, setup,
                        teardown),
                cmocka_unit_test_setup_teardown(a_console_that_ends_has_all_of_it_written, setup,
                                                teardown),
                cmocka_unit_test_setup_teardown(names_are_single_components, setup, teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
