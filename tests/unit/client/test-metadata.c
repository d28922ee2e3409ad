/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Metadata locks as a program in C takes them, with threads, on a daemon that it starts. */
#include "holdfast/holdfast.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define FILES   3
#define THREADS 4
#define ROUNDS  50

/* Until the daemon has ended. */
#define END_MS 10000

static char folder[] = "/tmp/hf-XXXXXX";
static char paths[FILES][64];

/* Who is alone with a file. */
static atomic_int inside[FILES];
static atomic_int faults;

static int begin(void **state)
{
        (void)state;
        if (!mkdtemp(folder) || setenv("HOLDFAST_RUN_DIR", folder, 1) < 0)
                return -1;
        for (int i = 0; i < FILES; i++) {
                int fd;

                (void)snprintf(paths[i], sizeof(paths[i]), "%s/file%d", folder, i);
                fd = open(paths[i], O_CREAT | O_RDWR | O_CLOEXEC, 0600);
                if (fd < 0)
                        return -1;
                (void)close(fd);
        }
        return holdfast_daemon_start(0, NULL) == 1 ? 0 : -1;
}

/* The daemon that this test has started, and no other. */
static pid_t daemon_pid(void)
{
        char path[128];
        FILE *file;
        int pid = 0;

        (void)snprintf(path, sizeof(path), "%s/holdfast/holdfastd.pid", folder);
        file = fopen(path, "re");
        if (!file)
                return 0;
        if (fscanf(file, "%d", &pid) != 1)
                pid = 0;
        (void)fclose(file);
        return pid;
}

static int end(void **state)
{
        const struct timespec moment = {.tv_nsec = 10000000};
        pid_t pid = daemon_pid();
        char command[128];

        (void)state;
        if (pid > 1 && kill(pid, SIGTERM) == 0)
                for (int ms = 0; ms < END_MS && kill(pid, 0) == 0; ms += 10)
                        (void)nanosleep(&moment, NULL);
        (void)snprintf(command, sizeof(command), "rm -rf %s", folder);
        return system(command);
}

static struct holdfast_metadata *take(const char *path, int timeout_ms, struct holdfast_error *err)
{
        const struct holdfast_metadata_target target = {.path = path, .fd = -1};
        struct holdfast_metadata *held = NULL;

        return holdfast_metadata_lock(&target, 1, timeout_ms, &held, err) < 0 ? NULL : held;
}

static void an_error_leaves_the_result_alone_and_is_whole(void **state)
{
        const struct holdfast_metadata_target targets[] = {{.path = paths[0]},
                                                           {.path = "/nowhere/at/all"}};
        struct holdfast_metadata *held = (void *)0x1;
        struct holdfast_error error;

        (void)state;
        assert_int_equal(holdfast_metadata_lock(targets, 2, 0, &held, &error), -ENOENT);
        assert_ptr_equal(held, (void *)0x1);
        assert_int_equal(error.code, HOLDFAST_E_SYSTEM);
        assert_int_equal(error.sys, ENOENT);
        assert_non_null(strstr(error.text, "/nowhere/at/all"));
        assert_int_equal(holdfast_metadata_lock(targets, 2, 0, &held, NULL), -ENOENT);
        assert_int_equal(holdfast_metadata_lock(NULL, 0, 0, &held, NULL), 0);
        holdfast_metadata_unlock(held);
        holdfast_metadata_unlock(NULL);
}

static void what_is_locked_is_at_hand_as_a_descriptor(void **state)
{
        const struct holdfast_metadata_target targets[] = {
                {.path = paths[1]}, {.path = folder}, {.path = paths[1]}};
        struct holdfast_metadata *held = NULL;
        struct stat by_fd, by_path;

        (void)state;
        assert_int_equal(holdfast_metadata_lock(targets, 3, 0, &held, NULL), 0);
        assert_int_equal(fstat(holdfast_metadata_fd(held, 0), &by_fd), 0);
        assert_int_equal(stat(paths[1], &by_path), 0);
        assert_true(by_fd.st_ino == by_path.st_ino && by_fd.st_dev == by_path.st_dev);
        assert_int_equal(holdfast_metadata_fd(held, 0), holdfast_metadata_fd(held, 2));
        /* What relabels goes through it, whatever becomes of the name. */
        assert_int_equal(
                fchownat(holdfast_metadata_fd(held, 0), "", getuid(), getgid(), AT_EMPTY_PATH), 0);
        holdfast_metadata_unlock(held);
}

static void a_second_lock_of_the_same_process_is_refused_when_time_is_up(void **state)
{
        struct holdfast_metadata *held = take(paths[0], 0, NULL);
        struct holdfast_error error = {0};

        (void)state;
        assert_non_null(held);
        assert_null(take(paths[0], 50, &error));
        assert_int_equal(error.code, HOLDFAST_E_BUSY);
        assert_non_null(strstr(error.text, "test-client-metadata"));
        holdfast_metadata_unlock(held);
        held = take(paths[0], 50, NULL);
        assert_non_null(held);
        holdfast_metadata_unlock(held);
}

static void a_child_that_frees_the_object_frees_no_lock(void **state)
{
        struct holdfast_metadata *held = take(paths[0], 0, NULL);
        int status;
        pid_t pid;

        (void)state;
        assert_non_null(held);
        pid = fork();
        if (pid == 0) {
                holdfast_metadata_unlock(held);
                _exit(0);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
        assert_null(take(paths[0], 50, NULL));
        holdfast_metadata_unlock(held);
}

/* Each thread takes two of the files, in an order of its own. */
static void *cross(void *arg)
{
        size_t number = (size_t)(uintptr_t)arg;
        size_t mine[] = {number % FILES, (number + 1 + number / FILES) % FILES};

        for (int i = 0; i < ROUNDS; i++) {
                const struct holdfast_metadata_target targets[] = {{.path = paths[mine[0]]},
                                                                   {.path = paths[mine[1]]}};
                struct holdfast_metadata *held;

                if (holdfast_metadata_lock(targets, 2, 0, &held, NULL) < 0) {
                        atomic_fetch_add(&faults, 1);
                        continue;
                }
                for (int j = 0; j < 2; j++)
                        if (atomic_fetch_add(&inside[mine[j]], 1) != 0)
                                atomic_fetch_add(&faults, 1);
                for (int j = 0; j < 2; j++)
                        atomic_fetch_sub(&inside[mine[j]], 1);
                holdfast_metadata_unlock(held);
        }
        return NULL;
}

static void threads_that_cross_their_sets_are_each_alone_and_none_is_stuck(void **state)
{
        pthread_t threads[THREADS];

        (void)state;
        for (uintptr_t i = 0; i < THREADS; i++)
                assert_int_equal(pthread_create(&threads[i], NULL, cross, (void *)i), 0);
        for (size_t i = 0; i < THREADS; i++)
                assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_int_equal(atomic_load(&faults), 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(an_error_leaves_the_result_alone_and_is_whole),
                cmocka_unit_test(what_is_locked_is_at_hand_as_a_descriptor),
                cmocka_unit_test(a_second_lock_of_the_same_process_is_refused_when_time_is_up),
                cmocka_unit_test(a_child_that_frees_the_object_frees_no_lock),
                cmocka_unit_test(threads_that_cross_their_sets_are_each_alone_and_none_is_stuck),
        };

        return cmocka_run_group_tests_name("metadata", tests, begin, end);
}
