/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "uucp-scene.h"

#include "base/cleanup.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <time.h>

#include <cmocka.h>

static void expect_taken(void)
{
        struct hf_uucp uucp;
        struct hf_uucp_holder holder;

        assert_int_equal(take(&uucp, &holder), 0);
        assert_string_equal(uucp.names[0], "LCK..pts_900003");
        assert_string_equal(uucp.names[1], "LCK..900003");
        assert_int_equal(in_file(uucp.names[0]), getpid());
        assert_int_equal(in_file(uucp.names[1]), getpid());
        assert_int_equal(in_file(uucp.names[2]), getpid());
        assert_int_equal(count_files(), 3);
        hf_uucp_give_back(lock_dir, &uucp);
        assert_int_equal(count_files(), 0);
}

static void expect_busy(const char *name, pid_t pid)
{
        size_t before = count_files();
        struct hf_uucp uucp;
        struct hf_uucp_holder holder;

        assert_int_equal(take(&uucp, &holder), -EBUSY);
        assert_string_equal(holder.name, name);
        assert_int_equal(holder.pid, pid);
        assert_int_equal(count_files(), before);
        forget_files();
}

static void all_names_are_made_whole_and_removed(void **state)
{
        (void)state;
        expect_taken();
}

static void each_name_of_a_live_process_refuses(void **state)
{
        static const char *const names[] = {"LCK..pts_900003", "LCK..900003", "LCK.._pts_900003",
                                            "LCK.136.003", "LK.000.136.003"};

        (void)state;
        for (size_t i = 0; i < HF_ARRAY_LEN(names); i++) {
                put_pid(names[i], alive);
                expect_busy(names[i], alive);
        }
}

static void a_dead_ones_file_is_replaced(void **state)
{
        static const char *const names[] = {"LCK..pts_900003", "LCK..900003", "LCK.._pts_900003",
                                            "LCK.136.003", "LK.000.136.003"};

        (void)state;
        for (size_t i = 0; i < HF_ARRAY_LEN(names); i++) {
                put_pid(names[i], dead);
                expect_taken();
        }
}

static void a_zombie_holds_nothing(void **state)
{
        siginfo_t info;
        pid_t zombie = fork();

        (void)state;
        if (zombie == 0)
                _exit(0);
        assert_int_equal(waitid(P_PID, (id_t)zombie, &info, WEXITED | WNOWAIT), 0);
        put_pid("LCK..pts_900003", zombie);
        expect_taken();
        (void)waitpid(zombie, NULL, 0);
}

static void four_binary_bytes_are_a_pid(void **state)
{
        const int32_t live = alive, gone = dead;

        (void)state;
        put("LCK..900003", &live, sizeof(live), 100);
        expect_busy("LCK..900003", alive);
        put("LCK..900003", &gone, sizeof(gone), 100);
        expect_taken();
}

static void young_garbage_is_about_to_be_written_and_old_garbage_is_dead(void **state)
{
        (void)state;
        put("LCK..pts_900003", "", 0, 0);
        expect_busy("LCK..pts_900003", 0);
        put("LCK..pts_900003", "garbage", 7, 0);
        expect_busy("LCK..pts_900003", 0);
        put("LCK..pts_900003", "garbage", 7, 3600);
        expect_taken();
        put("LCK..pts_900003", "", 0, 3600);
        expect_taken();
        put("LCK..pts_900003", "", 0, -3600);
        expect_taken();
}

static void old_garbage_that_somebody_has_open_is_in_use(void **state)
{
        pid_t writer;
        int ready[2];
        char byte;

        (void)state;
        put("LCK..pts_900003", "", 0, 3600);
        assert_int_equal(pipe(ready), 0);
        writer = fork();
        if (writer == 0) {
                char path[PATH_MAX];

                (void)snprintf(path, sizeof(path), "%s/LCK..pts_900003", lock_dir);
                /* Another program than the tests': those of ours do not count. */
                (void)dup2(open(path, O_WRONLY), 0);
                (void)close(ready[0]);
                execlp("sh", "sh", "-c", "echo >&$0; exec sleep 600",
                       ready[1] == 4   ? "4"
                       : ready[1] == 5 ? "5"
                                       : "6",
                       NULL);
                _exit(127);
        }
        (void)close(ready[1]);
        assert_int_equal(read(ready[0], &byte, 1), 1);
        (void)close(ready[0]);
        expect_busy("LCK..pts_900003", 0);
        (void)kill(writer, SIGKILL);
        (void)waitpid(writer, NULL, 0);
}

static void what_is_no_file_refuses(void **state)
{
        char path[PATH_MAX];

        (void)state;
        (void)snprintf(path, sizeof(path), "%s/LCK..900003", lock_dir);
        assert_int_equal(symlink("/dev/null", path), 0);
        expect_busy("LCK..900003", 0);
        assert_int_equal(mkfifo(path, 0600), 0);
        expect_busy("LCK..900003", 0);
}

static void a_live_process_of_another_user_is_alive(void **state)
{
        struct hf_uucp_holder holder;
        struct hf_uucp uucp;
        int status;
        pid_t pid;

        (void)state;
        if (geteuid() != 0)
                skip();
        put_pid("LCK..900003", 1);
        assert_int_equal(chmod(lock_dir, 01777), 0);
        pid = fork();
        if (pid == 0) {
                if (setuid(65534) < 0 || kill(1, 0) == 0 || errno != EPERM)
                        _exit(2);
                _exit(take(&uucp, &holder) == -EBUSY && holder.pid == 1 ? 0 : 1);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
}

static void those_that_are_thrown_out_do_not_count(void **state)
{
        const pid_t from[] = {dead, alive, 0};
        struct hf_uucp uucp;
        struct hf_uucp_holder holder;
        struct hf_error err;

        (void)state;
        put_pid("LCK..900003", alive);
        put_pid("LCK.._pts_900003", alive);
        assert_int_equal(hf_uucp_take(lock_dir, PATH, RDEV, getpid(), from, &uucp, &holder, &err),
                         0);
        assert_int_equal(in_file("LCK..900003"), getpid());
        assert_int_equal(count_files(), 3);
}

static void only_files_with_our_pid_are_given_back(void **state)
{
        struct hf_uucp uucp;
        struct hf_uucp_holder holder;

        (void)state;
        assert_int_equal(take(&uucp, &holder), 0);
        put_pid("LCK..900003", alive);
        hf_uucp_give_back(lock_dir, &uucp);
        /* Both were one file: the content went to both, and neither is ours. */
        assert_int_equal(in_file("LCK..900003"), alive);
}

static void a_missing_directory_and_none_at_all_are_no_error(void **state)
{
        struct hf_uucp uucp;
        struct hf_uucp_holder holder;
        struct hf_error err;

        (void)state;
        assert_int_equal(
                hf_uucp_take("/nowhere/at/all", PATH, RDEV, getpid(), NULL, &uucp, &holder, &err),
                0);
        assert_string_equal(uucp.names[0], "");
        assert_int_equal(hf_uucp_take("", PATH, RDEV, getpid(), NULL, &uucp, &holder, &err), 0);
        assert_string_equal(uucp.names[0], "");
        hf_uucp_give_back("", &uucp);
        hf_uucp_sweep("/nowhere/at/all", dead);
}

/* As another user where we are root: root may write anywhere. */
static void in_a_directory_that_may_not_be_written_files_are_looked_at(void **state)
{
        struct hf_uucp uucp;
        struct hf_uucp_holder holder;

        (void)state;
        put_pid("LCK..900003", alive);
        put_pid("LCK..pts_900003", dead);
        assert_int_equal(chmod(lock_dir, 0555), 0);
        assert_int_equal(geteuid() == 0 ? seteuid(65534) : 0, 0);
        assert_int_equal(take(&uucp, &holder), -EBUSY);
        assert_int_equal(seteuid(getuid()), 0);
        assert_int_equal(chmod(lock_dir, 0755), 0);
        forget_files();
        put_pid("LCK..pts_900003", dead);
        assert_int_equal(chmod(lock_dir, 0555), 0);
        assert_int_equal(geteuid() == 0 ? seteuid(65534) : 0, 0);
        assert_int_equal(take(&uucp, &holder), 0);
        assert_int_equal(seteuid(getuid()), 0);
        assert_string_equal(uucp.names[0], "");
        assert_string_equal(uucp.names[1], "");
        assert_int_equal(count_files(), 1);
        assert_int_equal(chmod(lock_dir, 0755), 0);
}

static void a_dead_file_that_may_not_be_removed_does_not_stop_a_user(void **state)
{
        struct hf_uucp uucp;
        struct hf_uucp_holder holder;
        int r;

        (void)state;
        if (geteuid() != 0)
                skip();
        put_pid("LCK..pts_900003", dead);
        assert_int_equal(chmod(lock_dir, 01777), 0);
        assert_int_equal(seteuid(65534), 0);
        r = take(&uucp, &holder);
        assert_int_equal(seteuid(0), 0);
        assert_int_equal(r, 0);
        assert_string_equal(uucp.names[0], "");
        assert_string_equal(uucp.names[1], "LCK..900003");
        hf_uucp_give_back(lock_dir, &uucp);
        assert_int_equal(count_files(), 1);
}

static void a_stranger_that_keeps_the_directory_locked_stops_only_removal(void **state)
{
        struct hf_uucp uucp;
        struct hf_uucp_holder holder;
        int fd = open(lock_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        (void)state;
        assert_int_equal(flock(fd, LOCK_EX), 0);
        assert_int_equal(take(&uucp, &holder), 0);
        forget_files();
        put_pid("LCK..pts_900003", dead);
        assert_int_equal(take(&uucp, &holder), -EAGAIN);
        (void)close(fd);
}

static void a_sweep_removes_what_a_dead_process_left(void **state)
{
        (void)state;
        put_pid("LCK..pts_1", dead);
        put_pid("LCK..ttyS7", dead);
        put_pid("LCK..pts_2", alive);
        put("LCK..pts_3", "", 0, 0);
        hf_uucp_sweep(lock_dir, alive);
        assert_int_equal(count_files(), 4);
        hf_uucp_sweep(lock_dir, dead);
        assert_int_equal(count_files(), 2);
        assert_int_equal(in_file("LCK..pts_2"), alive);
}

static void a_sweep_removes_what_was_not_finished(void **state)
{
        char mine[64], its[64], empty[64];

        (void)state;
        (void)snprintf(mine, sizeof(mine), "LTMP.new.%d", getpid());
        (void)snprintf(its, sizeof(its), "LTMP.new.%d", dead);
        /* Killed before it could write. */
        (void)snprintf(empty, sizeof(empty), "LTMP.new.%d.0123456789abcdef", dead);
        put_pid(mine, getpid());
        put_pid(its, dead);
        put(empty, "", 0, 0);
        put_pid("LTMP.0000012345", dead); /* cu's */
        hf_uucp_sweep(lock_dir, dead);
        assert_int_equal(count_files(), 2);
        assert_int_equal(in_file(its), -1);
}

static void only_the_file_that_was_seen_is_removed(void **state)
{
        int fd = open(lock_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        struct hf_uucp_seen seen;

        (void)state;
        put_pid("LCK..900003", dead);
        hf_uucp_look(fd, "LCK..900003", NULL, &seen);
        assert_int_equal(seen.state, HF_UUCP_DEAD);
        put_pid("LCK..other", alive);
        assert_int_equal(renameat(fd, "LCK..other", fd, "LCK..900003"), 0);
        assert_int_equal(hf_uucp_remove(fd, "LCK..900003", &seen), -EAGAIN);
        assert_int_equal(in_file("LCK..900003"), alive);
        assert_int_equal(count_files(), 1);
        (void)close(fd);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(all_names_are_made_whole_and_removed),
                TEST(each_name_of_a_live_process_refuses),
                TEST(a_dead_ones_file_is_replaced),
                TEST(a_zombie_holds_nothing),
                TEST(four_binary_bytes_are_a_pid),
                TEST(young_garbage_is_about_to_be_written_and_old_garbage_is_dead),
                TEST(old_garbage_that_somebody_has_open_is_in_use),
                TEST(what_is_no_file_refuses),
                TEST(a_live_process_of_another_user_is_alive),
                TEST(those_that_are_thrown_out_do_not_count),
                TEST(only_files_with_our_pid_are_given_back),
                TEST(a_missing_directory_and_none_at_all_are_no_error),
                TEST(in_a_directory_that_may_not_be_written_files_are_looked_at),
                TEST(a_dead_file_that_may_not_be_removed_does_not_stop_a_user),
                TEST(a_stranger_that_keeps_the_directory_locked_stops_only_removal),
                TEST(a_sweep_removes_what_a_dead_process_left),
                TEST(a_sweep_removes_what_was_not_finished),
                TEST(only_the_file_that_was_seen_is_removed),
        };

        return cmocka_run_group_tests(tests, make_processes, end_processes);
}
