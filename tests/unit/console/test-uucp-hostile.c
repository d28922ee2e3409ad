/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A directory of lock files in which others put what they like. */
#include "uucp-scene.h"

#include "base/cleanup.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include <cmocka.h>

/* Anybody may make anything in the directory, for every pid there is. */
static void names_that_somebody_has_taken_before_stop_nobody(void **state)
{
        hf_cleanup_fd int fd = open(lock_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        struct hf_uucp_holder holder;
        struct hf_uucp uucp;
        char made[64], old[64];

        (void)state;
        (void)snprintf(made, sizeof(made), "LTMP.new.%d", getpid());
        (void)snprintf(old, sizeof(old), "LTMP.old.%d", getpid());
        assert_int_equal(mkdirat(fd, made, 0755), 0);
        assert_int_equal(mkdirat(fd, old, 0755), 0);
        put_pid("LCK..900003", dead);
        assert_int_equal(take(&uucp, &holder), 0);
        assert_int_equal(in_file("LCK..900003"), getpid());
        assert_int_equal(unlinkat(fd, made, AT_REMOVEDIR), 0);
        assert_int_equal(unlinkat(fd, old, AT_REMOVEDIR), 0);
        assert_int_equal(count_files(), HF_UUCP_NAMES);
}

static void a_file_that_cannot_be_read_now_is_in_use(void **state)
{
        hf_cleanup_fd int fd = open(lock_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        struct rlimit before, none;
        struct hf_uucp_seen seen;

        (void)state;
        put_pid("LCK..900003", alive);
        assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
        none = before;
        none.rlim_cur = 0;
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
        hf_uucp_look(fd, "LCK..900003", NULL, &seen);
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
        assert_int_equal(seen.state, HF_UUCP_TAKEN);
}

/* To look who has a file open takes as long as all processes have files: not for each of these. */
static void a_sweep_is_not_held_up_by_what_others_put_there(void **state)
{
        const int many = 3000;
        struct timespec begin, end;
        char name[64];

        (void)state;
        for (int i = 0; i < many; i++) {
                (void)snprintf(name, sizeof(name), i % 2 ? "LCK..x%d" : "LTMP.old.%d",
                               i % 2 ? i : INT_MAX - i);
                put(name, "", 0, 100);
        }
        (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &begin);
        hf_uucp_sweep(lock_dir, dead);
        (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &end);
        assert_true(end.tv_sec - begin.tv_sec < 2);
        assert_int_equal(count_files(), many / 2);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(names_that_somebody_has_taken_before_stop_nobody),
                TEST(a_file_that_cannot_be_read_now_is_in_use),
                TEST(a_sweep_is_not_held_up_by_what_others_put_there),
        };

        return cmocka_run_group_tests(tests, make_processes, end_processes);
}
