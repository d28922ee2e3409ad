/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/process.h"

#include "base/cleanup.h"

#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <cmocka.h>

/* How long to wait for a process to do what it must; reached only when a test fails. */
#define DEADLINE_MS 5000

/* A child that runs body and then sleeps; it dies with us. Returns when body has run. */
static pid_t spawn(void (*body)(void))
{
        int ready[2];
        char byte;
        pid_t pid;

        assert_int_equal(pipe(ready), 0);
        pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
                (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
                if (body)
                        body();
                (void)!write(ready[1], "x", 1);
                for (;;)
                        (void)pause();
        }
        (void)close(ready[1]);
        assert_int_equal(read(ready[0], &byte, 1), 1);
        (void)close(ready[0]);
        return pid;
}

static void wait_readable(int fd)
{
        struct pollfd poller = {.fd = fd, .events = POLLIN};

        assert_int_equal(poll(&poller, 1, DEADLINE_MS), 1);
}

static void reap(pid_t pid)
{
        (void)kill(pid, SIGKILL);
        assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void we_are_alive_and_started_once(void **state)
{
        struct hf_process self;
        uint64_t start = 0;

        (void)state;
        assert_int_equal(hf_process_open(getpid(), NULL, &self, NULL), 0);
        assert_int_equal(self.pid, getpid());
        assert_int_equal(hf_process_start(getpid(), &start), 0);
        assert_true(start == self.start && start > 0);
}

static void a_zombie_is_dead(void **state)
{
        hf_cleanup_fd int pidfd = -1;
        pid_t pid = spawn(NULL);
        struct hf_process child;
        int other = -1;
        uint64_t start;

        (void)state;
        assert_int_equal(hf_process_open(pid, &pidfd, &child, NULL), 0);
        assert_int_equal(hf_process_pidfd_is_dead(pidfd), 0);
        (void)kill(pid, SIGKILL);
        wait_readable(pidfd);
        assert_int_equal(hf_process_pidfd_is_dead(pidfd), 1);
        assert_int_equal(hf_process_start(pid, &start), -ESRCH);
        assert_int_equal(hf_process_open(pid, &other, NULL, NULL), -ESRCH);
        assert_int_equal(other, -1);
        reap(pid);
}

static void a_process_that_is_not_there_is_said_so(void **state)
{
        struct hf_error err;

        (void)state;
        assert_int_equal(hf_process_open(0, NULL, NULL, &err), -ESRCH);
        assert_int_equal(hf_process_open(-1, NULL, NULL, &err), -ESRCH);
        /* Above the kernel's own limit of 2^22 for pids. */
        assert_int_equal(hf_process_open(1 << 30, NULL, NULL, &err), -ESRCH);
        assert_non_null(strstr(err.text, "process 1073741824 is not there"));
}

static void choose_odd_name(void)
{
        (void)prctl(PR_SET_NAME, "a) R 1 (b\n)");
}

static void a_name_with_spaces_and_parentheses_confuses_nobody(void **state)
{
        pid_t pid = spawn(choose_odd_name);
        struct hf_process child;
        char name[HF_PROCESS_COMM_MAX];
        uint64_t mine;

        (void)state;
        assert_int_equal(hf_process_comm(pid, name, sizeof(name)), 0);
        assert_string_equal(name, "a) R 1 (b\n)");
        assert_int_equal(hf_process_open(pid, NULL, &child, NULL), 0);
        assert_string_equal(child.comm, "a) R 1 (b\n)");
        assert_int_equal(hf_process_start(getpid(), &mine), 0);
        assert_true(child.start >= mine);
        /* A tick is 10 ms: far fewer than this have passed since we started. */
        assert_true(child.start < mine + 100000);
        reap(pid);
        assert_int_equal(hf_process_comm(pid, name, sizeof(name)), -ESRCH);
}

static void *sleep_on(void *unused)
{
        (void)unused;
        for (;;)
                (void)pause();
        return NULL;
}

/* Ends the first thread and goes on in a second one, which reports for it. */
static void *report_and_sleep(void *ready)
{
        char text[256] = "";

        while (!strstr(text, ") Z")) {
                FILE *file = fopen("/proc/self/stat", "r");

                (void)!fgets(text, sizeof(text), file);
                (void)fclose(file);
        }
        (void)!write(*(int *)ready, "x", 1);
        return sleep_on(NULL);
}

static void a_process_lives_as_long_as_any_of_its_threads(void **state)
{
        hf_cleanup_fd int pidfd = -1;
        struct hf_process child;
        int ready[2];
        char byte;
        pid_t pid;

        (void)state;
        assert_int_equal(pipe(ready), 0);
        pid = fork();
        if (pid == 0) {
                pthread_t thread;

                (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
                (void)alarm(DEADLINE_MS / 1000 * 2);
                (void)pthread_create(&thread, NULL, report_and_sleep, &ready[1]);
                pthread_exit(NULL);
        }
        (void)close(ready[1]);
        assert_int_equal(read(ready[0], &byte, 1), 1);
        (void)close(ready[0]);
        assert_int_equal(hf_process_open(pid, &pidfd, &child, NULL), 0);
        assert_int_equal(hf_process_pidfd_is_dead(pidfd), 0);
        (void)kill(pid, SIGKILL);
        wait_readable(pidfd);
        reap(pid);
}

static void *tell_thread_id(void *ret)
{
        hf_cleanup_fd int pidfd = -1;

        *(int *)ret = hf_process_open((pid_t)syscall(SYS_gettid), &pidfd, NULL, NULL);
        return NULL;
}

static void the_id_of_a_thread_is_no_process(void **state)
{
        pthread_t thread;
        int r = 0;

        (void)state;
        assert_int_equal(pthread_create(&thread, NULL, tell_thread_id, &r), 0);
        (void)pthread_join(thread, NULL);
        assert_int_equal(r, -ESRCH);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(we_are_alive_and_started_once),
                cmocka_unit_test(a_zombie_is_dead),
                cmocka_unit_test(a_process_that_is_not_there_is_said_so),
                cmocka_unit_test(a_name_with_spaces_and_parentheses_confuses_nobody),
                cmocka_unit_test(a_process_lives_as_long_as_any_of_its_threads),
                cmocka_unit_test(the_id_of_a_thread_is_no_process),
        };

        return cmocka_run_group_tests_name("process", tests, NULL, NULL);
}
