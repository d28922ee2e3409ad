/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/program.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

static volatile sig_atomic_t children;

static void count_child(int number)
{
        (void)number;
        children++;
}

static uint64_t deadline_in(int ms)
{
        struct timespec now;

        (void)clock_gettime(CLOCK_MONOTONIC, &now);
        return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec + (uint64_t)ms * 1000000;
}

/* As the shell's script; the result is zeroed before. */
static int run(const char *script, int ms, struct hf_program_result *ret, struct hf_error *err)
{
        const char *const argv[] = {"sh", "-c", script, NULL};

        memset(ret, 0, sizeof(*ret));
        return hf_program_run("/bin/sh", argv, deadline_in(ms), ret, err);
}

static void what_it_prints_and_its_status_come_back(void **state)
{
        struct hf_program_result result;

        (void)state;
        assert_int_equal(run("echo one; echo two >&2; exit 5", 10000, &result, NULL), 0);
        assert_string_equal(result.text, "one\n");
        assert_int_equal(result.status, 5);
}

static void one_that_prints_without_end_is_heard_to_its_end(void **state)
{
        struct hf_program_result result;

        (void)state;
        assert_int_equal(run("head -c 1000000 /dev/zero | tr '\\0' a", 10000, &result, NULL), 0);
        assert_int_equal(strlen(result.text), sizeof(result.text) - 1);
}

static void nothing_of_ours_is_open_in_it(void **state)
{
        struct hf_program_result result;
        int fd = open("/dev/zero", O_RDONLY);

        (void)state;
        assert_true(fd >= 0);
        /* ls has one more open: the directory that it lists. */
        assert_int_equal(run("exec ls /proc/self/fd", 10000, &result, NULL), 0);
        assert_string_equal(result.text, "0\n1\n2\n3\n");
        assert_int_equal(close(fd), 0);
}

static void it_runs_where_standard_descriptors_are_closed(void **state)
{
        struct hf_program_result result;
        int kept = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 10);

        (void)state;
        (void)close(STDIN_FILENO);
        assert_int_equal(run("cat; echo fine", 10000, &result, NULL), 0);
        assert_string_equal(result.text, "fine\n");
        if (kept >= 0) {
                assert_int_equal(dup2(kept, STDIN_FILENO), STDIN_FILENO);
                assert_int_equal(close(kept), 0);
        }
}

static void the_process_is_not_told_and_has_no_child_afterwards(void **state)
{
        struct sigaction before, now, action = {.sa_handler = count_child};
        struct hf_program_result result;
        sigset_t mask;

        (void)state;
        assert_int_equal(sigaction(SIGCHLD, &action, &before), 0);
        children = 0;
        assert_int_equal(run("exit 0", 10000, &result, NULL), 0);
        assert_int_equal(run("exec sleep 60", 50, &result, NULL), -ETIMEDOUT);
        assert_int_equal(children, 0);
        assert_int_equal(waitpid(-1, NULL, WNOHANG | __WALL), -1);
        assert_int_equal(errno, ECHILD);
        assert_int_equal(sigaction(SIGCHLD, &before, &now), 0);
        assert_ptr_equal(now.sa_handler, count_child);
        assert_int_equal(sigprocmask(SIG_SETMASK, NULL, &mask), 0);
        assert_int_equal(sigismember(&mask, SIGTERM), 0);
}

static void children_that_are_ignored_do_not_confuse_it(void **state)
{
        struct hf_program_result result;

        (void)state;
        assert_true(signal(SIGCHLD, SIG_IGN) != SIG_ERR);
        assert_int_equal(run("true; exit 3", 10000, &result, NULL), 0);
        assert_int_equal(result.status, 3);
        assert_true(signal(SIGCHLD, SIG_DFL) != SIG_ERR);
}

static void time_is_kept_and_the_program_goes_with_it(void **state)
{
        struct hf_program_result result;
        struct hf_error error = {0};
        uint64_t latest = deadline_in(10000);
        char said[16] = "";
        size_t n = 0;
        ssize_t got;
        int fd;

        (void)state;
        assert_int_equal(mkfifo("program.fifo", 0600), 0);
        fd = open("program.fifo", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
        assert_true(fd >= 0);
        assert_int_equal(fcntl(fd, F_SETFL, 0), 0);
        assert_int_equal(
                run("exec 9>program.fifo; echo begun >&9; exec sleep 600", 300, &result, &error),
                -ETIMEDOUT);
        assert_non_null(strstr(error.text, "/bin/sh"));
        assert_true(deadline_in(0) < latest);
        /* The end of the file: nobody has it open for writing any more. */
        while ((got = read(fd, said + n, sizeof(said) - 1 - n)) > 0)
                n += (size_t)got;
        assert_string_equal(said, "begun\n");
        assert_int_equal(close(fd), 0);
        assert_int_equal(unlink("program.fifo"), 0);
}

static void a_program_that_cannot_be_run_says_why(void **state)
{
        const char *const argv[] = {"x", NULL};
        struct hf_program_result result;
        struct hf_error error = {0};

        (void)state;
        assert_int_equal(hf_program_run("/no/such", argv, deadline_in(10000), &result, &error),
                         -ENOENT);
        assert_non_null(strstr(error.text, "/no/such"));
        assert_int_equal(hf_program_run("/etc", argv, deadline_in(10000), &result, NULL), -EACCES);
        assert_int_equal(run("kill -9 $$", 10000, &result, &error), -EIO);
        assert_non_null(strstr(error.text, "signal 9"));
}

static void programs_are_found_by_path_and_where_an_administrator_has_them(void **state)
{
        char path[PATH_MAX];

        (void)state;
        assert_int_equal(setenv("PATH", "relative:/nowhere", 1), 0);
        assert_int_equal(hf_program_find("sh", path), 0);
        assert_int_equal(path[0], '/');
        assert_int_equal(hf_program_find("no-such-program", path), -ENOENT);
        assert_int_equal(unsetenv("PATH"), 0);
        assert_int_equal(hf_program_find("sh", path), 0);
}

static void all_that_it_prints_can_be_had_up_to_a_limit(void **state)
{
        const char *const argv[] = {"sh", "-c", "head -c 1000000 /dev/zero | tr '\\0' a", NULL};
        char *text = NULL;
        int status = -1;

        (void)state;
        assert_int_equal(
                hf_program_read("/bin/sh", argv, deadline_in(10000), 1000000, &text, &status, NULL),
                0);
        assert_int_equal(status, 0);
        assert_int_equal(strspn(text, "a"), 1000000);
        assert_int_equal(text[1000000], '\0');
        free(text);
        assert_int_equal(
                hf_program_read("/bin/sh", argv, deadline_in(10000), 999999, &text, &status, NULL),
                -E2BIG);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(what_it_prints_and_its_status_come_back),
                cmocka_unit_test(one_that_prints_without_end_is_heard_to_its_end),
                cmocka_unit_test(all_that_it_prints_can_be_had_up_to_a_limit),
                cmocka_unit_test(nothing_of_ours_is_open_in_it),
                cmocka_unit_test(it_runs_where_standard_descriptors_are_closed),
                cmocka_unit_test(the_process_is_not_told_and_has_no_child_afterwards),
                cmocka_unit_test(children_that_are_ignored_do_not_confuse_it),
                cmocka_unit_test(time_is_kept_and_the_program_goes_with_it),
                cmocka_unit_test(a_program_that_cannot_be_run_says_why),
                cmocka_unit_test(programs_are_found_by_path_and_where_an_administrator_has_them),
        };
        char folder[] = "/tmp/hf-unit-XXXXXX";
        int failed;

        if (!mkdtemp(folder) || chdir(folder) < 0)
                return 1;
        failed = cmocka_run_group_tests_name("base-program", tests, NULL, NULL);
        return rmdir(folder) < 0 ? 1 : failed;
}
