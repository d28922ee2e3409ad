/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "keeper/keeper-private.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* Exit status of a child whose check failed. */
#define WRONG 9

static int run_in_clone(int (*check)(void))
{
        pid_t pid = hf_keeper_clone();
        int status;

        if (pid == 0)
                _exit(check());
        assert_true(pid > 0);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status));
        return WEXITSTATUS(status);
}

static int open_something(void)
{
        return open("/dev/null", O_RDONLY);
}

static void what_a_clone_opens_is_open_in_its_parent(void **state)
{
        int fd;

        (void)state;
        fd = run_in_clone(open_something);
        assert_int_equal(fcntl(fd, F_GETFD), 0);
        assert_int_equal(close(fd), 0);
}

/* The C library knows the thread: only the owner can unlock this mutex, once. */
static int use_mutexes(void)
{
        pthread_mutex_t mutex;
        pthread_mutexattr_t kind;
        pid_t *word = NULL;

        if (prctl(PR_GET_TID_ADDRESS, &word) < 0 || *word != gettid())
                return WRONG;
        (void)pthread_mutexattr_init(&kind);
        (void)pthread_mutexattr_settype(&kind, PTHREAD_MUTEX_ERRORCHECK);
        (void)pthread_mutexattr_setrobust(&kind, PTHREAD_MUTEX_ROBUST);
        (void)pthread_mutex_init(&mutex, &kind);
        if (pthread_mutex_lock(&mutex) || mutex.__data.__owner != gettid() ||
            pthread_mutex_lock(&mutex) != EDEADLK || pthread_mutex_unlock(&mutex) ||
            pthread_mutex_unlock(&mutex) != EPERM)
                return WRONG;
        return 0;
}

static void the_c_library_knows_which_thread_a_clone_is(void **state)
{
        (void)state;
        assert_int_equal(run_in_clone(use_mutexes), 0);
}

static int compare_robust_list(void)
{
        void *list = NULL;
        size_t size = 0;

        return syscall(SYS_get_robust_list, 0, &list, &size) < 0 || !list ? WRONG : 0;
}

static void a_clone_has_a_list_of_robust_mutexes(void **state)
{
        (void)state;
        assert_int_equal(run_in_clone(compare_robust_list), 0);
}

static int is_default(void)
{
        struct sigaction action;

        return sigaction(SIGUSR1, NULL, &action) < 0 || action.sa_handler != SIG_DFL ? WRONG : 0;
}

static void do_nothing(int number)
{
        (void)number;
}

static void a_clone_has_no_handlers_of_its_parent(void **state)
{
        (void)state;
        (void)signal(SIGUSR1, do_nothing);
        assert_int_equal(run_in_clone(is_default), 0);
        (void)signal(SIGUSR1, SIG_DFL);
}

/* As container sandboxes do that know only the older call. */
static int hide_clone3(void)
{
        struct sock_filter filter[] = {
                BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
                BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone3, 0, 1),
                BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
                BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        };
        struct sock_fprog program = {.len = sizeof(filter) / sizeof(filter[0]), .filter = filter};

        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
            prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0)
                return WRONG;
        if (run_in_clone(use_mutexes) || run_in_clone(compare_robust_list))
                return WRONG;
        return fcntl(run_in_clone(open_something), F_GETFD);
}

static void a_sandbox_without_clone3_makes_no_difference(void **state)
{
        int status;
        pid_t pid;

        (void)state;
        pid = fork();
        if (pid == 0)
                _exit(hide_clone3());
        assert_true(pid > 0);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(what_a_clone_opens_is_open_in_its_parent),
                cmocka_unit_test(the_c_library_knows_which_thread_a_clone_is),
                cmocka_unit_test(a_clone_has_a_list_of_robust_mutexes),
                cmocka_unit_test(a_clone_has_no_handlers_of_its_parent),
                cmocka_unit_test(a_sandbox_without_clone3_makes_no_difference),
        };

        return cmocka_run_group_tests_name("clone", tests, NULL, NULL);
}
