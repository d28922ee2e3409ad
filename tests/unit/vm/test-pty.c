/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vm/pty.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static struct hf_ptys ptys;

static int open_master(void)
{
        int fd = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);

        assert_true(fd >= 0);
        assert_int_equal(unlockpt(fd), 0);
        return fd;
}

static void terminals_are_found_by_their_masters_once_and_in_order(void **state)
{
        int first = open_master(), second = open_master(), again = dup(first);
        char *name;

        (void)state;
        assert_int_equal(hf_ptys_of(getpid(), &ptys), 0);
        assert_int_equal(ptys.n, 2);
        name = ptsname(first);
        assert_string_equal(ptys.paths[0], name);
        name = ptsname(second);
        assert_string_equal(ptys.paths[1], name);
        (void)close(again);
        (void)close(second);
        (void)close(first);
}

static void who_only_uses_a_terminal_has_made_none(void **state)
{
        int master = open_master(), slave = open(ptsname(master), O_RDWR | O_NOCTTY | O_CLOEXEC);
        pid_t child = fork();

        (void)state;
        assert_true(slave >= 0 && child >= 0);
        if (child == 0) {
                (void)close(master);
                _exit(hf_ptys_of(getpid(), &ptys) == 0 && ptys.n == 0 ? 0 : 1);
        }
        {
                int status;

                assert_int_equal(waitpid(child, &status, 0), child);
                assert_int_equal(status, 0);
        }
        (void)close(slave);
        (void)close(master);
}

static void of_a_process_that_is_gone_nothing_is_known(void **state)
{
        pid_t child = fork();
        int status;

        (void)state;
        if (child == 0)
                _exit(0);
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_int_equal(hf_ptys_of(child, &ptys), -ENOENT);
}

/* In a process of its own: makes all terminals of a devpts of its own up to that path. */
static int make_namesake(const char *path)
{
        char name[HF_PTY_PATH_MAX] = "";

        if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
            mount("devpts", "/dev/pts", "devpts", 0, "ptmxmode=0666") < 0)
                return 'n';
        for (int i = 0; i < 500 && strcmp(name, path); i++) {
                int fd = open("/dev/pts/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);

                if (fd < 0 || ptsname_r(fd, name, sizeof(name)) != 0)
                        return 'f';
        }
        return strcmp(name, path) ? 'f' : 'm';
}

static void a_terminal_of_that_name_in_another_devpts_is_not_ours(void **state)
{
        int master = open_master(), said[2], ended[2];
        char path[HF_PTY_PATH_MAX], made = 'f';
        pid_t child;

        (void)state;
        (void)snprintf(path, sizeof(path), "%s", ptsname(master));
        assert_int_equal(pipe2(said, O_CLOEXEC), 0);
        assert_int_equal(pipe2(ended, O_CLOEXEC), 0);
        child = fork();
        assert_true(child >= 0);
        if (child == 0) {
                made = (char)make_namesake(path);
                (void)close(ended[1]);
                if (write(said[1], &made, 1) == 1)
                        (void)read(ended[0], &made, 1);
                _exit(0);
        }
        assert_int_equal(read(said[0], &made, 1), 1);
        if (made == 'm') {
                assert_true(hf_pty_is_here(getpid(), path));
                assert_false(hf_pty_is_here(child, path));
        }
        (void)close(ended[1]);
        assert_int_equal(waitpid(child, NULL, 0), child);
        for (int i = 0; i < 2; i++)
                (void)close(said[i]);
        (void)close(ended[0]);
        (void)close(master);
        if (made == 'n') {
                print_message("mounts are not allowed here\n");
                skip();
        }
        assert_int_equal(made, 'm');
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(terminals_are_found_by_their_masters_once_and_in_order),
                cmocka_unit_test(who_only_uses_a_terminal_has_made_none),
                cmocka_unit_test(of_a_process_that_is_gone_nothing_is_known),
                cmocka_unit_test(a_terminal_of_that_name_in_another_devpts_is_not_ours),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
