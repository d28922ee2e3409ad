/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "storage/users.h"

#include "base/cleanup.h"
#include "helper.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <sys/socket.h>

#include <cmocka.h>

/* Our end and the other one. */
static int ends[2];

static int begin(void **state)
{
        (void)state;
        return socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends);
}

static int end(void **state)
{
        (void)state;
        hf_close_fd(&ends[0]);
        hf_close_fd(&ends[1]);
        return 0;
}

/* A child has what was open when it began; it keeps the other end alone, or neither. */
static void carry(void *data)
{
        (void)data;
        (void)close(ends[0]);
}

static void carry_nothing(void *data)
{
        (void)data;
        (void)close(ends[0]);
        (void)close(ends[1]);
}

static uint64_t inode_of(int fd)
{
        struct stat st;

        assert_int_equal(fstat(fd, &st), 0);
        return st.st_ino;
}

static bool among(pid_t pid, const pid_t *pids, int n)
{
        int found = 0;

        for (int i = 0; i < n; i++)
                found += pids[i] == pid;
        assert_in_range(found, 0, 1);
        return found == 1;
}

static void who_has_the_other_end_is_found(void **state)
{
        pid_t one = helper_spawn(carry, NULL), two = helper_spawn(carry, NULL);
        pid_t not = helper_spawn(carry_nothing, NULL), pids[16];
        uint64_t inode = inode_of(ends[0]);
        int n;

        (void)state;
        n = hf_socket_carriers(&inode, 1, pids, HF_ARRAY_LEN(pids));
        assert_int_equal(n, 3);
        assert_true(among(one, pids, n) && among(two, pids, n) && among(getpid(), pids, n));
        hf_close_fd(&ends[1]);
        n = hf_socket_carriers(&inode, 1, pids, HF_ARRAY_LEN(pids));
        assert_int_equal(n, 2);
        assert_false(among(getpid(), pids, n) || among(not, pids, n));
        helper_reap(one);
        n = hf_socket_carriers(&inode, 1, pids, HF_ARRAY_LEN(pids));
        assert_int_equal(n, 1);
        assert_int_equal(pids[0], two);
        helper_reap(two);
        helper_reap(not );
        assert_int_equal(hf_socket_carriers(&inode, 1, pids, HF_ARRAY_LEN(pids)), 0);
}

static void no_more_are_told_than_there_is_room_for(void **state)
{
        pid_t one = helper_spawn(carry, NULL), pids[2] = {0, -1};
        uint64_t inode = inode_of(ends[0]);

        (void)state;
        assert_int_equal(hf_socket_carriers(&inode, 1, pids, 1), 1);
        assert_int_not_equal(pids[0], 0);
        assert_int_equal(pids[1], -1);
        helper_reap(one);
}

static void what_is_no_connected_socket_has_no_carrier(void **state)
{
        hf_cleanup_fd int alone = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        uint64_t inodes[] = {0, UINT32_MAX, inode_of(alone), inode_of(STDIN_FILENO)};
        pid_t pids[4];

        (void)state;
        assert_int_equal(hf_socket_carriers(inodes, HF_ARRAY_LEN(inodes), pids, 4), 0);
        assert_int_equal(hf_socket_carriers(NULL, 0, pids, 4), 0);
}

static void one_unknown_socket_hides_no_other(void **state)
{
        uint64_t inodes[] = {0, inode_of(ends[0]), UINT32_MAX};
        pid_t pids[4];

        (void)state;
        assert_int_equal(hf_socket_carriers(inodes, HF_ARRAY_LEN(inodes), pids, 4), 1);
        assert_int_equal(pids[0], getpid());
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
        const struct CMUnitTest tests[] = {
                TEST(who_has_the_other_end_is_found),
                TEST(no_more_are_told_than_there_is_room_for),
                TEST(what_is_no_connected_socket_has_no_carrier),
                TEST(one_unknown_socket_hides_no_other),
        };

        return cmocka_run_group_tests_name("carriers", tests, NULL, NULL);
}
