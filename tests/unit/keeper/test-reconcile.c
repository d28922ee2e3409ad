/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "keeper/keeper-private.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

/* Behind whatever the test was started with. */
#define BASE 100
#define MANY 300

struct found {
        int fds[MANY];
        size_t n;
};

static void note(void *data, int fd)
{
        struct found *found = data;

        if (fd >= BASE && found->n < MANY)
                found->fds[found->n++] = fd;
}

static void open_at(int fd)
{
        int null = open("/dev/null", O_RDONLY);

        assert_int_equal(dup2(null, fd), fd);
        (void)close(null);
}

static void those_not_kept_are_found_in_order(void **state)
{
        const int kept[] = {BASE + 7, -1, BASE + 2, BASE + 7, 100000, BASE + 9};
        struct found found = {0};

        (void)state;
        for (int fd = BASE; fd < BASE + 12; fd++)
                if (fd != BASE + 9)
                        open_at(fd);
        /* Ours are BASE + 3 to BASE + 5. */
        hf_keeper_scan(BASE + 3, BASE + 6, kept, sizeof(kept) / sizeof(kept[0]), note, &found);
        assert_int_equal(found.n, 6);
        assert_int_equal(found.fds[0], BASE);
        assert_int_equal(found.fds[1], BASE + 1);
        assert_int_equal(found.fds[2], BASE + 6);
        assert_int_equal(found.fds[3], BASE + 8);
        assert_int_equal(found.fds[4], BASE + 10);
        assert_int_equal(found.fds[5], BASE + 11);
        (void)close_range(BASE, ~0U, 0);
}

static void the_highest_possible_number_is_found(void **state)
{
        struct found found = {0};
        struct rlimit limit;
        int highest;

        (void)state;
        assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
        highest = limit.rlim_cur > 200000 ? 200000 : (int)limit.rlim_cur - 1;
        open_at(highest);
        hf_keeper_scan(-1, -1, NULL, 0, note, &found);
        assert_int_equal(found.n, 1);
        assert_int_equal(found.fds[0], highest);
        hf_keeper_scan(-1, -1, &highest, 1, note, &found);
        assert_int_equal(found.n, 1);
        (void)close(highest);
}

static void a_full_table_is_searched_as_well(void **state)
{
        struct found found = {0};
        struct rlimit limit, small;

        (void)state;
        assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
        small = (struct rlimit){.rlim_cur = BASE + MANY / 2, .rlim_max = limit.rlim_max};
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &small), 0);
        while (open("/dev/null", O_RDONLY) >= 0)
                ;
        hf_keeper_scan(-1, -1, NULL, 0, note, &found);
        assert_int_equal(found.n, MANY / 2);
        (void)close_range(BASE, ~0U, 0);
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(those_not_kept_are_found_in_order),
                cmocka_unit_test(the_highest_possible_number_is_found),
                cmocka_unit_test(a_full_table_is_searched_as_well),
        };

        return cmocka_run_group_tests_name("reconcile", tests, NULL, NULL);
}
