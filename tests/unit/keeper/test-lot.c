/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/cleanup.h"
#include "keeper/lot.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <cmocka.h>

/* What a drain gave. */
struct found {
        size_t n;
        char cookies[64];
        int fds[64];
        int parked[64];
};

static void note(void *data, int fd, const void *cookie, size_t len, int parked)
{
        struct found *found = data;

        assert_int_equal(len, 1);
        found->fds[found->n] = fd;
        found->parked[found->n] = parked;
        found->cookies[found->n++] = *(const char *)cookie;
}

static void close_all(struct found *found)
{
        while (found->n)
                hf_close_fd(&found->fds[--found->n]);
}

static int make_file(void)
{
        int fd = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

        assert_true(fd >= 0);
        return fd;
}

static short lock_of(int fd)
{
        hf_cleanup_free char *path = NULL;
        hf_cleanup_fd int other = -1;
        struct flock lock = {.l_type = F_WRLCK, .l_len = 1};

        assert_true(asprintf(&path, "/proc/self/fd/%d", fd) > 0);
        other = open(path, O_RDWR | O_CLOEXEC);
        assert_true(other >= 0 && fcntl(other, F_OFD_GETLK, &lock) == 0);
        return lock.l_type;
}

static void set_lock(int fd)
{
        struct flock lock = {.l_type = F_WRLCK, .l_len = 1};

        assert_int_equal(fcntl(fd, F_OFD_SETLK, &lock), 0);
}

static void what_is_parked_keeps_its_lock_when_everybody_has_closed_it(void **state)
{
        hf_cleanup_fd int in = -1, out = -1;
        int file = make_file();
        struct found found = {0};
        char path[64];
        int other;

        (void)state;
        assert_int_equal(hf_lot_make(&in, &out), 0);
        (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
        other = open(path, O_RDWR | O_CLOEXEC);
        set_lock(file);
        assert_int_equal(hf_lot_park(in, file, "a", 1), 0);
        hf_close_fd(&file);
        /* The sender's end may go as well. */
        hf_close_fd(&in);
        assert_int_equal(lock_of(other), F_WRLCK);
        assert_int_equal(hf_lot_drain(out, -1, note, &found), 0);
        assert_int_equal(found.n, 1);
        assert_int_equal(found.parked[0], -ENOENT);
        assert_true(fcntl(found.fds[0], F_GETFD) & FD_CLOEXEC);
        assert_int_equal(lock_of(other), F_WRLCK);
        close_all(&found);
        assert_int_equal(lock_of(other), F_UNLCK);
        hf_close_fd(&other);
}

static void cookies_come_back_in_order(void **state)
{
        hf_cleanup_fd int in = -1, out = -1, file = make_file();
        struct found found = {0};

        (void)state;
        assert_int_equal(hf_lot_make(&in, &out), 0);
        for (const char *c = "abc"; *c; c++)
                assert_int_equal(hf_lot_park(in, file, c, 1), 0);
        assert_int_equal(hf_lot_drain(out, -1, note, &found), 0);
        assert_memory_equal(found.cookies, "abc", 3);
        close_all(&found);
        assert_int_equal(hf_lot_drain(out, -1, note, &found), 0);
        assert_int_equal(found.n, 0);
}

static void what_is_drained_into_another_lot_is_there(void **state)
{
        hf_cleanup_fd int in = -1, out = -1, in2 = -1, out2 = -1, file = make_file();
        struct found found = {0};

        (void)state;
        assert_int_equal(hf_lot_make(&in, &out), 0);
        assert_int_equal(hf_lot_make(&in2, &out2), 0);
        assert_int_equal(hf_lot_park(in, file, "a", 1), 0);
        assert_int_equal(hf_lot_park(in, file, "b", 1), 0);
        assert_int_equal(hf_lot_drain(out, in2, note, &found), 0);
        assert_int_equal(found.n, 2);
        assert_int_equal(found.parked[1], 0);
        close_all(&found);
        assert_int_equal(hf_lot_drain(out2, -1, note, &found), 0);
        assert_memory_equal(found.cookies, "ab", 2);
        close_all(&found);
}

static void what_there_is_no_descriptor_for_stays_in_the_lot(void **state)
{
        hf_cleanup_fd int in = -1, out = -1, file = make_file();
        struct rlimit limit, none;
        struct found found = {0};
        int r;

        (void)state;
        assert_int_equal(hf_lot_make(&in, &out), 0);
        assert_int_equal(hf_lot_park(in, file, "a", 1), 0);
        assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
        none = (struct rlimit){0, limit.rlim_max};
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
        r = hf_lot_drain(out, -1, note, &found);
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
        assert_int_equal(r, -EMFILE);
        assert_int_equal(found.n, 0);
        assert_int_equal(hf_lot_drain(out, -1, note, &found), 0);
        assert_int_equal(found.n, 1);
        close_all(&found);
}

static void a_lot_that_nobody_keeps_says_so(void **state)
{
        hf_cleanup_fd int in = -1, out = -1, file = make_file();

        (void)state;
        assert_int_equal(hf_lot_make(&in, &out), 0);
        hf_close_fd(&out);
        assert_int_equal(hf_lot_park(in, file, "a", 1), -EPIPE);
}

static void a_full_lot_says_so_and_keeps_what_it_has(void **state)
{
        const int little = 4096;
        hf_cleanup_fd int in = -1, out = -1, file = make_file();
        struct found found = {0};
        size_t n = 0;
        int r;

        (void)state;
        assert_int_equal(hf_lot_make(&in, &out), 0);
        assert_int_equal(setsockopt(in, SOL_SOCKET, SO_SNDBUF, &little, sizeof(little)), 0);
        while ((r = hf_lot_park(in, file, "a", 1)) == 0)
                n++;
        assert_int_equal(r, -EAGAIN);
        assert_true(n > 0 && n < 64);
        assert_int_equal(hf_lot_drain(out, -1, note, &found), 0);
        assert_int_equal(found.n, n);
        close_all(&found);
}

static void a_cookie_has_its_limits(void **state)
{
        hf_cleanup_fd int in = -1, out = -1, file = make_file();
        const char cookie[HF_LOT_COOKIE_MAX + 1] = {0};

        (void)state;
        assert_int_equal(hf_lot_make(&in, &out), 0);
        assert_int_equal(hf_lot_park(in, file, cookie, 0), -EINVAL);
        assert_int_equal(hf_lot_park(in, file, cookie, sizeof(cookie)), -EINVAL);
        assert_int_equal(hf_lot_park(in, file, cookie, HF_LOT_COOKIE_MAX), 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(what_is_parked_keeps_its_lock_when_everybody_has_closed_it),
                cmocka_unit_test(cookies_come_back_in_order),
                cmocka_unit_test(what_is_drained_into_another_lot_is_there),
                cmocka_unit_test(what_there_is_no_descriptor_for_stays_in_the_lot),
                cmocka_unit_test(a_lot_that_nobody_keeps_says_so),
                cmocka_unit_test(a_full_lot_says_so_and_keeps_what_it_has),
                cmocka_unit_test(a_cookie_has_its_limits),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
