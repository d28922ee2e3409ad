/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A writer that is killed at any moment, and what the next one makes of its files. */

#include "transcript-scene.h"

#include "base/cleanup.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/wait.h>

static void a_bracket_that_was_cut_is_written_again(void **state)
{
        static const char bracket[] =
                "\n[holdfast: 9 bytes are missing, until 1970-01-01T00:16:40Z]\n";
        char path[256], line[128], whole[128];

        (void)state;
        snprintf(whole, sizeof(whole), "abc%s", bracket);
        snprintf(line, sizeof(line), "missing 3 %zu 12 77 9 1000000000\n", strlen(whole));
        for (size_t cut = 3; cut <= strlen(whole); cut++) {
                snprintf(path, sizeof(path), "%s/web1", scene.dir);
                (void)mkdir(path, 0700);
                snprintf(path, sizeof(path), "%s/" LOG, scene.dir);
                (void)unlink(path);
                put(LOG, "");
                assert_int_equal(truncate(path, 0), 0);
                whole[cut] = '\0';
                put(LOG, whole);
                snprintf(whole, sizeof(whole), "abc%s", bracket);
                snprintf(path, sizeof(path), "%s/" LOG ".times", scene.dir);
                (void)unlink(path);
                put(LOG ".times", "origin 0 0 77\n");
                put(LOG ".times", line);
                new_ring(77);
                print("abcLOSTLOST!and on");
                start_writer();
                finish_writer();
                assert_memory_equal(content(LOG), whole, strlen(whole));
                assert_string_equal(content(LOG) + strlen(whole), "and on");
        }
}

/* What the server does while the writer stands still: it never has to wait for it. */
static void serve(void)
{
        for (int i = 0; i < 2 && scene.fd >= 0; i++) {
                int r = turn();

                assert_true(r >= 0 || r == -EAGAIN || r == -EPIPE);
        }
        if (scene.link.opened && scene.link.position == hf_ring_head(&scene.ring))
                hf_close_fd(&scene.fd);
}

static bool begins_call(int status)
{
        struct __ptrace_syscall_info info;

        return WIFSTOPPED(status) && WSTOPSIG(status) == (SIGTRAP | 0x80) &&
               ptrace(PTRACE_GET_SYSCALL_INFO, scene.writer, (void *)sizeof(info), &info) > 0 &&
               info.op == PTRACE_SYSCALL_INFO_ENTRY;
}

/* Runs the writer, and kills it when it begins its nth system call. False: it had no such. */
static bool killed_at_call(long n)
{
        int status;
        long calls = 0;

        if (ptrace(PTRACE_SEIZE, scene.writer, NULL, (void *)PTRACE_O_TRACESYSGOOD) < 0)
                skip();
        assert_int_equal(ptrace(PTRACE_INTERRUPT, scene.writer, NULL, NULL), 0);
        for (;;) {
                assert_int_equal(waitpid(scene.writer, &status, 0), scene.writer);
                if (WIFEXITED(status) || WIFSIGNALED(status)) {
                        scene.writer = 0;
                        hf_close_fd(&scene.fd);
                        return WIFSIGNALED(status);
                }
                serve();
                if (begins_call(status) && calls++ == n)
                        (void)kill(scene.writer, SIGKILL);
                else
                        (void)ptrace(PTRACE_SYSCALL, scene.writer, NULL, NULL);
        }
}

/* The logs of all rotations, in their order. */
static const char *all_logs(void)
{
        static char all[65536];
        const char *text;
        char name[64];

        *all = '\0';
        for (int i = 9; i >= 0; i--) {
                snprintf(name, sizeof(name), i ? LOG ".%d" : LOG, i);
                text = content(name);
                if (text)
                        strcat(all, text);
        }
        return all;
}

/* Each log has a .times that says where it begins. */
static void check_times(void)
{
        uint64_t position = 0;

        for (int i = 9; i >= 0; i--) {
                char name[64], line[64];
                const char *text;
                size_t len;

                snprintf(name, sizeof(name), i ? LOG ".%d" : LOG, i);
                text = content(name);
                if (!text)
                        continue;
                len = strlen(text);
                strcat(name, ".times");
                snprintf(line, sizeof(line), "origin 0 %lu 77\n", (unsigned long)position);
                text = content(name);
                assert_non_null(text);
                assert_memory_equal(text, line, strlen(line));
                position += len;
        }
}

static void a_writer_killed_at_each_system_call_writes_every_byte_once(void **state)
{
        char text[400] = "";
        bool killed = true;
        long n;

        (void)state;
        for (int i = 0; i < 36; i++)
                sprintf(text + strlen(text), "line %03d\n", i);
        for (n = 0; killed; n++) {
                if (n)
                        setup(NULL);
                scene.settings.max_size = 100;
                scene.settings.max_backups = 9;
                print(text);
                start_writer();
                killed = killed_at_call(n);
                if (killed) {
                        start_writer();
                        finish_writer();
                }
                assert_string_equal(all_logs(), text);
                check_times();
                if (killed)
                        teardown(NULL);
        }
        /* Three rotations have more calls than that. */
        assert_true(n > 75);
        print_message("killed at each of %ld system calls\n", n - 1);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(a_bracket_that_was_cut_is_written_again, setup,
                                                teardown),
                cmocka_unit_test_setup_teardown(
                        a_writer_killed_at_each_system_call_writes_every_byte_once, setup,
                        teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
