/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Waiting for a lock that another process has. */
#include "storage/resource.h"

#include "base/cleanup.h"
#include "helper.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#include <cmocka.h>

/* What a waiter found, told in shared memory. */
struct waiter {
        struct hf_resource_request request;
        bool never_woken; /* its filesystem refuses to wait */
        atomic_int done;
        struct hf_resource_result result;
        bool named; /* path led to what it has */
};

static uint64_t now_usec(void)
{
        struct timespec now;

        (void)clock_gettime(CLOCK_MONOTONIC, &now);
        return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static void nap(void)
{
        const struct timespec moment = {0, 1000000};

        (void)nanosleep(&moment, NULL);
}

static int lock_by(int command, const char *path, short type)
{
        struct flock lock = {.l_type = type, .l_whence = SEEK_SET, .l_start = 0, .l_len = 1};
        int fd = open(path, O_RDWR | O_CLOEXEC);

        if (fd < 0 || fcntl(fd, command, &lock) < 0)
                _exit(1);
        return fd;
}

static void hold_posix(void *path)
{
        (void)lock_by(F_SETLK, path, F_WRLCK);
}

static void hold_ofd(void *path)
{
        (void)lock_by(F_OFD_SETLK, path, F_WRLCK);
}

static void hold_shared(void *path)
{
        (void)lock_by(F_OFD_SETLK, path, F_RDLCK);
}

/* As on a filesystem that has locks and cannot wait for one. */
static void refuse_to_wait(void)
{
        struct sock_filter filter[] = {
                BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
                BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_fcntl, 0, 3),
                BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[1])),
                BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, F_OFD_SETLKW, 0, 1),
                BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOLCK),
                BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        };
        const struct sock_fprog program = {HF_ARRAY_LEN(filter), filter};

        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
            prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0)
                _exit(1);
}

static pid_t start(struct waiter *waiter)
{
        pid_t pid = fork();
        struct stat st;

        assert_true(pid >= 0);
        if (pid > 0)
                return pid;
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (waiter->never_woken)
                refuse_to_wait();
        hf_resource_await(&waiter->request, &waiter->result);
        waiter->named = stat(waiter->request.path, &st) == 0 &&
                        st.st_ino == waiter->result.file.ino;
        atomic_store(&waiter->done, 1);
        (void)pause();
        _exit(0);
}

static struct waiter *new_waiter(const char *path, bool shared, bool autocreate)
{
        struct waiter *waiter = mmap(NULL, sizeof(*waiter), PROT_READ | PROT_WRITE,
                                     MAP_SHARED | MAP_ANONYMOUS, -1, 0);

        assert_true(waiter != MAP_FAILED);
        waiter->request = (struct hf_resource_request){path, shared, autocreate};
        return waiter;
}

static bool is_done(struct waiter *waiter, unsigned int ms)
{
        for (uint64_t end = now_usec() + ms * 1000UL; now_usec() < end; nap())
                if (atomic_load(&waiter->done))
                        return true;
        return false;
}

/* How often a process has given the processor up by itself: each look again would count. */
static unsigned long sleeps_of(pid_t pid)
{
        static const char key[] = "voluntary_ctxt_switches:";
        char path[64], line[256];
        hf_cleanup_file FILE *file = NULL;
        unsigned long n = 0;

        (void)snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
        file = fopen(path, "re");
        while (file && fgets(line, sizeof(line), file))
                if (!strncmp(line, key, strlen(key)))
                        n = strtoul(line + strlen(key), NULL, 10);
        return n;
}

static void end(struct waiter *waiter, pid_t pid)
{
        helper_reap(pid);
        (void)munmap(waiter, sizeof(*waiter));
}

static void check_woken(void (*hold)(void *path), const char *name)
{
        const char *path = helper_file(name, "");
        struct waiter *waiter = new_waiter(path, false, false);
        pid_t holder = helper_spawn(hold, (void *)(uintptr_t)path), pid = start(waiter);
        unsigned long sleeps;

        assert_false(is_done(waiter, 100));
        sleeps = sleeps_of(pid);
        assert_false(is_done(waiter, 300));
        assert_int_equal(sleeps_of(pid), sleeps);
        helper_reap(holder);
        assert_true(is_done(waiter, 5000));
        assert_int_equal(waiter->result.status, 0);
        assert_true(waiter->named && waiter->result.proved > 0);
        end(waiter, pid);
}

static void it_sleeps_until_the_holder_has_gone(void **state)
{
        (void)state;
        check_woken(hold_posix, "posix");
        check_woken(hold_ofd, "ofd");
}

static void a_sharer_waits_for_none_but_who_has_it_alone(void **state)
{
        const char *path = helper_file("shared", "");
        struct waiter *sharer = new_waiter(path, true, false);
        struct waiter *alone = new_waiter(path, false, false);
        pid_t holder = helper_spawn(hold_shared, (void *)(uintptr_t)path);
        pid_t pids[] = {start(sharer), start(alone)};

        (void)state;
        assert_true(is_done(sharer, 5000));
        assert_false(is_done(alone, 100));
        helper_reap(holder);
        assert_false(is_done(alone, 100));
        end(sharer, pids[0]);
        assert_true(is_done(alone, 5000));
        assert_int_equal(alone->result.status, 0);
        end(alone, pids[1]);
}

static void a_file_that_was_replaced_meanwhile_is_not_what_is_locked(void **state)
{
        const char *path = helper_file("replaced", ""), *other = helper_file("other", "");
        struct waiter *waiter = new_waiter(path, false, false);
        pid_t first = helper_spawn(hold_ofd, (void *)(uintptr_t)path), second, pid = start(waiter);

        (void)state;
        assert_false(is_done(waiter, 50));
        second = helper_spawn(hold_ofd, (void *)(uintptr_t)other);
        assert_int_equal(rename(other, path), 0);
        helper_reap(first);
        assert_false(is_done(waiter, 100));
        helper_reap(second);
        assert_true(is_done(waiter, 5000));
        assert_true(waiter->result.status == 0 && waiter->named);
        end(waiter, pid);
}

static void a_stand_in_that_went_with_its_lock_is_made_anew(void **state)
{
        const char *path = helper_file("stand-in", "");
        struct waiter *waiter = new_waiter(path, false, true);
        pid_t holder = helper_spawn(hold_ofd, (void *)(uintptr_t)path), pid = start(waiter);

        (void)state;
        assert_false(is_done(waiter, 50));
        assert_int_equal(unlink(path), 0);
        helper_reap(holder);
        assert_true(is_done(waiter, 5000));
        assert_true(waiter->result.status == 0 && waiter->named);
        end(waiter, pid);
}

static void what_is_gone_is_not_waited_for(void **state)
{
        const char *path = helper_file("gone", "");
        struct waiter *waiter = new_waiter(path, false, false);
        pid_t holder = helper_spawn(hold_ofd, (void *)(uintptr_t)path), pid = start(waiter);

        (void)state;
        assert_false(is_done(waiter, 50));
        assert_int_equal(unlink(path), 0);
        helper_reap(holder);
        assert_true(is_done(waiter, 5000));
        assert_int_equal(waiter->result.status, -ENOENT);
        assert_int_equal(waiter->result.fd, -1);
        end(waiter, pid);
}

static void where_nobody_wakes_it_it_looks_again(void **state)
{
        const char *path = helper_file("unwoken", "");
        struct waiter *waiter = new_waiter(path, false, false);
        pid_t holder = helper_spawn(hold_posix, (void *)(uintptr_t)path), pid;
        unsigned long sleeps;
        uint64_t freed;

        (void)state;
        waiter->never_woken = true;
        pid = start(waiter);
        assert_false(is_done(waiter, 700));
        sleeps = sleeps_of(pid);
        /* 10, 20, 40, 80, 160, 320 ms. */
        assert_in_range(sleeps, 4, 12);
        helper_reap(holder);
        freed = now_usec();
        assert_true(is_done(waiter, 5000));
        assert_true(now_usec() - freed < 1200000);
        assert_true(waiter->result.status == 0 && waiter->named);
        end(waiter, pid);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(it_sleeps_until_the_holder_has_gone),
                cmocka_unit_test(a_sharer_waits_for_none_but_who_has_it_alone),
                cmocka_unit_test(a_file_that_was_replaced_meanwhile_is_not_what_is_locked),
                cmocka_unit_test(a_stand_in_that_went_with_its_lock_is_made_anew),
                cmocka_unit_test(what_is_gone_is_not_waited_for),
                cmocka_unit_test(where_nobody_wakes_it_it_looks_again),
        };

        return cmocka_run_group_tests_name("await", tests, helper_make_folder,
                                           helper_remove_folder);
}
